"""Downloads over a line that breaks, from servers that can and cannot continue, and the whole way of AV-MNIST."""

import hashlib
import io
import socket
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from loopback import Site, serving
from small_sources import write_esc50, write_fsdd, write_mnist

from mmfuse.data import avmnist, avmnist_files, avmnist_sources
from mmfuse.data.download import Remote, fetch, unpack
from mmfuse.errors import DataInvalid, DataMissing

CONTENT = bytes(range(256)) * 4000
MD5 = f"md5:{hashlib.md5(CONTENT).hexdigest()}"


@pytest.fixture
def site() -> Iterator[Site]:
    with serving(Site({"/big.bin": CONTENT})) as served:
        yield served


def _remote(site: Site, *, checksum: str = MD5) -> Remote:
    return Remote(f"{site.address}/big.bin", "big.bin", checksum)


def test_a_file_arrives_whole_and_leaves_no_traces_beside_it(site: Site, tmp_path: Path) -> None:
    path = fetch(_remote(site), tmp_path / "new")

    assert path.read_bytes() == CONTENT
    assert [entry.name for entry in path.parent.iterdir()] == ["big.bin"]


def test_what_is_there_is_not_fetched_again(site: Site, tmp_path: Path) -> None:
    fetch(_remote(site), tmp_path)
    fetch(_remote(site), tmp_path)

    assert len(site.requests) == 1


def test_a_broken_transfer_goes_on_where_it_broke(site: Site, tmp_path: Path) -> None:
    site.breaks = [300_000]

    path = fetch(_remote(site), tmp_path)

    assert path.read_bytes() == CONTENT
    assert [request[1:] for request in site.requests] == [
        (None, 300_000),
        ("bytes=300000-", len(CONTENT) - 300_000),
    ]


def test_a_later_call_goes_on_where_an_earlier_one_gave_up(site: Site, tmp_path: Path) -> None:
    site.breaks = [100_000, 100_000, 100_000]
    with pytest.raises(DataMissing, match="300,000 of 1,024,000 bytes arrived"):
        fetch(_remote(site), tmp_path)

    path = fetch(_remote(site), tmp_path)

    assert path.read_bytes() == CONTENT
    assert site.requests[-1][1] == "bytes=300000-"


def test_a_server_that_cannot_continue_sends_everything_again(site: Site, tmp_path: Path) -> None:
    site.ranges = False
    site.breaks = [300_000]

    path = fetch(_remote(site), tmp_path)

    assert path.read_bytes() == CONTENT
    assert site.requests[-1][2] == len(CONTENT)


def test_two_versions_of_a_file_are_never_joined(site: Site, tmp_path: Path) -> None:
    site.breaks = [100_000] * 3
    with pytest.raises(DataMissing):
        fetch(_remote(site, checksum=""), tmp_path)
    site.files["/big.bin"] = CONTENT[::-1]
    site.etag = '"two"'

    path = fetch(_remote(site, checksum=""), tmp_path)

    assert path.read_bytes() == CONTENT[::-1]


def test_a_part_that_is_longer_than_the_file_is_started_anew(site: Site, tmp_path: Path) -> None:
    (tmp_path / "big.bin.part").write_bytes(CONTENT + b"more")
    (tmp_path / "big.bin.part.tag").write_text(site.etag)

    assert fetch(_remote(site), tmp_path).read_bytes() == CONTENT


def test_progress_counts_the_bytes_of_the_whole_file(site: Site, tmp_path: Path) -> None:
    site.breaks = [300_000]
    told: list[tuple[float, float]] = []

    fetch(_remote(site), tmp_path, progress=lambda done, total, *, what: told.append((done, total)))

    assert told == sorted(told)
    assert told[-1] == (len(CONTENT), len(CONTENT))


def test_a_wrong_checksum_is_refused_and_nothing_is_kept(site: Site, tmp_path: Path) -> None:
    with pytest.raises(DataInvalid, match=r"big.bin has md5 .*, expected 0123"):
        fetch(_remote(site, checksum="md5:0123"), tmp_path)

    assert list(tmp_path.iterdir()) == []


def test_a_file_that_was_put_there_by_hand_is_checked_too(site: Site, tmp_path: Path) -> None:
    (tmp_path / "big.bin").write_bytes(b"something else")

    with pytest.raises(DataInvalid, match=r"big.bin has md5"):
        fetch(_remote(site), tmp_path)

    assert site.requests == []


def test_a_missing_file_is_told_with_its_address_and_where_to_put_it(site: Site, tmp_path: Path) -> None:
    with pytest.raises(DataMissing, match=r"gone.bin answers 404") as caught:
        fetch(Remote(f"{site.address}/gone.bin", "gone.bin"), tmp_path)

    assert f"put it at {tmp_path / 'gone.bin'}" in caught.value.hint


def test_no_network_is_told_in_one_sentence(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{unused.getsockname()[1]}/big.bin"

        with pytest.raises(DataMissing, match="cannot be fetched") as caught:
            fetch(Remote(address, "big.bin"), tmp_path)

    assert f"fetch {address} by hand and put it at {tmp_path / 'big.bin'}" in caught.value.hint


def test_an_address_that_is_none_is_told_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(DataMissing, match="cannot be fetched"):
        fetch(Remote("no address", "big.bin"), tmp_path)


def test_a_place_that_cannot_be_written_is_named(site: Site, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(DataMissing, match="cannot be written"):
        fetch(_remote(site), tmp_path / "file")


def test_of_two_that_ask_at_once_one_downloads(site: Site, tmp_path: Path) -> None:
    threads = [threading.Thread(target=fetch, args=(_remote(site), tmp_path)) for _ in range(2)]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert (tmp_path / "big.bin").read_bytes() == CONTENT
    assert len(site.requests) == 1


def test_archives_are_unpacked_whole_or_not_at_all(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.zip", tmp_path / "bad.tar.gz"
    with zipfile.ZipFile(good, "w") as bundle:
        bundle.writestr("inside/file.txt", "content")
    bad.write_bytes(b"not an archive")

    assert (unpack(good, tmp_path / "one") / "inside/file.txt").read_text() == "content"
    with pytest.raises(DataInvalid, match=r"bad.tar.gz is not a complete archive"):
        unpack(bad, tmp_path / "two")
    assert not (tmp_path / "two").exists()


def test_an_archive_that_reaches_outside_of_its_folder_is_refused(tmp_path: Path) -> None:
    archive = tmp_path / "evil.tar"
    with tarfile.open(archive, "w") as bundle:
        member = tarfile.TarInfo("../../escaped.txt")
        member.size = 4
        bundle.addfile(member, io.BytesIO(b"evil"))

    with pytest.raises(DataInvalid, match="is not a complete archive"):
        unpack(archive, tmp_path / "deep" / "folder")

    assert not (tmp_path / "escaped.txt").exists()


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A server with tiny versions of the three sources, in the public files' names and forms."""
    mnist = write_mnist(tmp_path / "mirror" / "mnist")
    files = {f"/mnist/{path.name}": path.read_bytes() for path in mnist.iterdir()}
    speech, noise = io.BytesIO(), io.BytesIO()
    with tarfile.open(fileobj=speech, mode="w:gz") as bundle:
        bundle.add(write_fsdd(tmp_path / "mirror" / "fsdd"), "free-spoken-digit-dataset-1.0.9/recordings")
    with zipfile.ZipFile(noise, "w") as archive:
        for path in write_esc50(tmp_path / "mirror" / "esc50").rglob("*.wav"):
            archive.write(path, f"ESC-50-master/audio/{path.name}")
    files |= {"/fsdd/v1.0.9.tar.gz": speech.getvalue(), "/esc50/master.zip": noise.getvalue()}
    sums = tuple(
        (name, f"md5:{hashlib.md5(files[f'/mnist/{name}']).hexdigest()}") for name, _ in avmnist_sources.FILES["mnist"]
    )
    monkeypatch.setitem(avmnist_sources.FILES, "mnist", sums)
    with serving(Site(files)) as served:
        for name in avmnist_sources.ADDRESSES:
            monkeypatch.setenv(f"MMFUSE_AVMNIST_{name.upper()}_URL", f"{served.address}/{name}/")
        yield served


def test_prepare_fetches_the_sources_and_builds_what_loads(mirror: Site, tmp_path: Path) -> None:
    told: list[str] = []

    folder = avmnist.prepare(tmp_path / "data", progress=lambda done, total, *, what: told.append(what))

    splits = avmnist.load(tmp_path / "data", avmnist.Options())
    facts = avmnist_files.read_manifest(folder).facts
    assert folder == tmp_path / "data" / "avmnist"
    assert not splits.stand_in
    assert len(splits.train) == 44
    assert len(facts["sources"]) == 6
    assert {"fetching esc50-master.zip", "unpacking fsdd", "building AV-MNIST"} <= set(told)


def test_preparing_twice_fetches_and_builds_once(mirror: Site, tmp_path: Path) -> None:
    avmnist.prepare(tmp_path / "data")
    before = len(mirror.requests)

    avmnist.prepare(tmp_path / "data")

    assert len(mirror.requests) == before == 6


def test_every_source_that_cannot_be_fetched_is_named_at_once(mirror: Site, tmp_path: Path) -> None:
    del mirror.files["/fsdd/v1.0.9.tar.gz"]
    del mirror.files["/mnist/t10k-labels-idx1-ubyte.gz"]

    with pytest.raises(DataMissing, match="2 files of AV-MNIST's sources cannot be fetched") as caught:
        avmnist.prepare(tmp_path / "data")

    assert f"put it at {tmp_path / 'data/avmnist-sources/fsdd-v1.0.9.tar.gz'}" in caught.value.hint
    assert "t10k-labels-idx1-ubyte.gz" in caught.value.hint
    assert not (tmp_path / "data" / "avmnist").exists()


def test_files_put_there_by_hand_stand_in_for_those_that_cannot_be_fetched(mirror: Site, tmp_path: Path) -> None:
    content = mirror.files.pop("/esc50/master.zip")
    (tmp_path / "data/avmnist-sources").mkdir(parents=True)
    (tmp_path / "data/avmnist-sources/esc50-master.zip").write_bytes(content)

    avmnist.prepare(tmp_path / "data")

    assert avmnist.status(tmp_path / "data").source == "real"


def test_the_real_sums_of_mnist_are_demanded() -> None:
    assert dict(avmnist_sources.FILES["mnist"])["train-images-idx3-ubyte.gz"] == "md5:f68b3c2dcbeaaa9fbdd348bbdeb94873"
    assert all(checksum.startswith("md5:") for _, checksum in avmnist_sources.FILES["mnist"])
