"""Latents from items: collections of captioned media or datasets in, one vector per item out, by a frozen encoder."""
