"""Themes whose colours are told apart with every kind of colour vision.

The hues are those of Okabe and Ito, "Color Universal Design" (2008): sky blue, orange, bluish green, yellow, vermillion
and reddish purple; the light theme darkens them until text keeps a contrast of 4.5 to 1. Colour is never the only sign
of anything: states have a glyph and a word, curves a mark.
"""

from __future__ import annotations

from textual.theme import Theme

DARK = Theme(
    name="mmfuse-dark",
    primary="#56B4E9",
    secondary="#CC79A7",
    accent="#E69F00",
    success="#2BBD90",
    warning="#F0E442",
    error="#F2763B",
    foreground="#D7DCE5",
    background="#0F131A",
    surface="#141A23",
    panel="#1C2430",
    boost="#222C3A",
    dark=True,
    variables={
        "series-1": "#56B4E9",
        "series-2": "#E69F00",
        "series-3": "#2BBD90",
        "series-4": "#CC79A7",
        "series-5": "#F0E442",
        "series-6": "#F2763B",
        "frame": "#2C3747",
        "axis": "#55637A",
        "dim": "#8A96A8",
        "cursor": "#222C3A",
        "block-cursor-text-style": "none",
        "footer-key-foreground": "#E69F00",
        "input-selection-background": "#56B4E9 35%",
    },
)
LIGHT = Theme(
    name="mmfuse-light",
    primary="#00619A",
    secondary="#96446F",
    accent="#8A5A00",
    success="#00694D",
    warning="#6F6500",
    error="#A84300",
    foreground="#1C222B",
    background="#FBFBF9",
    surface="#FFFFFF",
    panel="#EEF0F2",
    boost="#E3E8EE",
    dark=False,
    variables={
        "series-1": "#00619A",
        "series-2": "#8A5A00",
        "series-3": "#00694D",
        "series-4": "#96446F",
        "series-5": "#6F6500",
        "series-6": "#A84300",
        "frame": "#C3CAD3",
        "axis": "#8C97A5",
        "dim": "#5A6472",
        "cursor": "#E3E8EE",
        "block-cursor-text-style": "none",
        "footer-key-foreground": "#8A5A00",
        "input-selection-background": "#00619A 25%",
    },
)
MONO = Theme(
    name="mmfuse-mono",
    primary="#FFFFFF",
    secondary="#C8C8C8",
    accent="#FFFFFF",
    success="#D8D8D8",
    warning="#E6E6E6",
    error="#FFFFFF",
    foreground="#DADADA",
    background="#000000",
    surface="#0A0A0A",
    panel="#1C1C1C",
    boost="#2A2A2A",
    dark=True,
    variables={
        "series-1": "#FFFFFF",
        "series-2": "#C4C4C4",
        "series-3": "#A8A8A8",
        "series-4": "#E2E2E2",
        "series-5": "#B6B6B6",
        "series-6": "#D0D0D0",
        "frame": "#5A5A5A",
        "axis": "#7A7A7A",
        "dim": "#9C9C9C",
        "cursor": "#303030",
        "block-cursor-text-style": "none",
        "footer-key-foreground": "#FFFFFF",
        "input-selection-background": "#FFFFFF 35%",
    },
)
"""Greys alone: states are told by glyph and word, curves by their signs."""
THEMES = (DARK, LIGHT, MONO)

FALLBACKS = {
    "series-1": "#56B4E9",
    "series-2": "#E69F00",
    "series-3": "#2BBD90",
    "series-4": "#CC79A7",
    "series-5": "#F0E442",
    "series-6": "#F2763B",
    "frame": "#5A6472",
    "axis": "#6B7788",
    "dim": "#8A96A8",
    "cursor": "#222C3A",
}
"""Our own variables for themes that do not know them."""
