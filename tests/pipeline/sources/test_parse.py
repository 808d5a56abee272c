"""Sources by their text."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import cv2
import pytest

from keywarp.engines.errors import KeywarpError, SourceError, UsageError
from keywarp.pipeline.config import ReconnectConfig
from keywarp.pipeline.sources.base import Source
from keywarp.pipeline.sources.images import ImageSource
from keywarp.pipeline.sources.parse import open_source
from keywarp.pipeline.sources.scaled import ScaledSource
from keywarp.pipeline.sources.street import StreetSource
from keywarp.pipeline.sources.supervised import SupervisedSource
from keywarp.pipeline.sources.video import VideoSource
from keywarp.pipeline.sources.webcam import WebcamSource

from .films import pictures, write_film


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_film(tmp_path / "clip.mp4", pictures(2))
    (tmp_path / "pictures").mkdir()
    cv2.imwrite(str(tmp_path / "pictures" / "a.png"), pictures(1)[0])
    return tmp_path


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("0", SupervisedSource),
        ("1", SupervisedSource),
        ("/dev/video0", SupervisedSource),
        ("/dev/v4l/by-id/usb-cam", SupervisedSource),
        ("street:", StreetSource),
        ("street:seed=3", StreetSource),
        ("{}/clip.mp4", VideoSource),
        (" {}/clip.mp4 ", VideoSource),
        ("file://{}/clip.mp4", VideoSource),
        ("0,size=1280x720,format=mjpeg,rate=30", SupervisedSource),
        ("http://host/clip.mp4", SupervisedSource),
        ("rtsp://host/cam", SupervisedSource),
        ("rtsp://host/cam#udp", SupervisedSource),
        ("{}/pictures", ImageSource),
        ("{}/pictures/*.png", ImageSource),
        ("{}/pictures/a.png", ImageSource),
    ],
)
def test_kinds(folder: Path, text: str, kind: type[Source]) -> None:
    assert type(open_source(text.format(folder))) is kind


@pytest.mark.parametrize(
    ("text", "kind"),
    [("0", WebcamSource), ("rtsp://host/cam", VideoSource), ("http://host/clip.mp4", VideoSource)],
)
def test_what_shall_not_be_got_back_is_not_supervised(text: str, kind: type[Source]) -> None:
    assert type(open_source(text, reconnect=ReconnectConfig(tries=0))) is kind


def test_the_street_by_default() -> None:
    source = open_source("street:")
    assert isinstance(source, StreetSource)
    scene = source.scene
    assert (scene.seed, scene.size, scene.rate, len(scene)) == (0, (640, 360), Fraction(30), 300)


def test_options_of_the_street() -> None:
    source = open_source("street:seed=3, size=64x48,rate=30000/1001,length=7,live=1")
    assert isinstance(source, StreetSource)
    scene = source.scene
    assert (scene.seed, scene.size, scene.rate, len(scene)) == (3, (64, 48), Fraction(30000, 1001), 7)
    info = source.open()
    source.close()
    assert info.live


def test_an_endless_street() -> None:
    source = open_source("street:length=endless")
    assert isinstance(source, StreetSource)
    assert source.scene.length is None


def test_size_and_rate_go_to_the_street() -> None:
    source = open_source("street:length=1", size=(96, 64), rate=15)
    assert isinstance(source, StreetSource)
    assert (source.scene.size, source.scene.rate) == ((96, 64), Fraction(15))


def test_a_street_with_a_size_of_its_own_is_scaled() -> None:
    source = open_source("street:length=1,size=64x48", size=(96, 64))
    assert source.open().size == (96, 64)
    assert next(source.frames()).size == (96, 64)
    source.close()
    assert isinstance(open_source("street:size=64x48", size=(64, 48)), StreetSource)


def test_a_rate_that_contradicts_the_street_s_is_refused() -> None:
    with pytest.raises(UsageError, match=r"rate 15 contradicts 'street:rate=20'; give only one"):
        open_source("street:rate=20", rate=15)
    assert isinstance(open_source("street:rate=29.97", rate=29.97), StreetSource)


def test_films_and_pictures_are_scaled(folder: Path) -> None:
    for name in ("clip.mp4", "pictures"):
        source = open_source(str(folder / name), size=(32, 24))
        assert isinstance(source, ScaledSource)
        assert source.open().size == (32, 24)
        source.close()


def test_pictures_take_a_rate(folder: Path) -> None:
    source = open_source(str(folder / "pictures"), rate=12.5)
    assert source.open().rate == Fraction(25, 2)
    source.close()


ERRORS: dict[str, tuple[type[KeywarpError], str]] = {
    "": (SourceError, "no source is given; give a video file"),
    "{}/clip.avi": (SourceError, r"'.*clip.avi' does not exist; did you mean '.*clip.mp4'"),
    "{}/clips.mp4": (SourceError, "did you mean '.*clip.mp4'"),
    "{}/something.mov": (SourceError, "has no file of that name"),
    "{}/nowhere/clip.mp4": (SourceError, "there is no folder '.*nowhere'"),
    "{}/clip.mp4/clip.mp4": (SourceError, "does not exist"),
    "street:sede=3": (UsageError, "unknown option of street: 'sede'; did you mean 'seed'"),
    "street:seed": (UsageError, "'seed' is a whole number"),
    "street:seed=-1": (UsageError, "seed"),
    "street:size=64": (UsageError, "'size' is WIDTHxHEIGHT"),
    "street:size=1x1": (UsageError, "too small"),
    "street:size=99999x99999": (UsageError, "'size' is WIDTHxHEIGHT in pixels, .* up to 16384 a side; given"),
    "0,size=20000x20000": (UsageError, "up to 16384 a side; given: '20000x20000'"),
    "street:rate=fast": (UsageError, "'rate' is a number of frames a second"),
    "street:rate=1/0": (UsageError, "'rate' is a number"),
    "street:rate=0": (UsageError, "above 0"),
    "street:length=many": (UsageError, "'length' is a number of frames, or endless"),
    "rtsp://host/cam#smoke": (SourceError, "cannot come by 'smoke' .accepted after the #: tcp, udp"),
    "0,sise=64x48": (UsageError, "unknown option of camera 'sise'; did you mean 'size'"),
    "0,format=png": (UsageError, "camera option 'format' is one of mjpeg"),
    "0,size=64": (UsageError, "'size' is WIDTHxHEIGHT"),
    "street:live=perhaps": (UsageError, "'live' is 1 or 0"),
}


@pytest.mark.parametrize("text", ERRORS)
def test_errors(folder: Path, text: str) -> None:
    kind, message = ERRORS[text]
    with pytest.raises(kind, match=message) as caught:
        open_source(text.format(folder))
    assert "\n" not in str(caught.value)


def test_a_film_has_its_own_rate(folder: Path) -> None:
    with pytest.raises(UsageError, match="a video has its own times"):
        open_source(str(folder / "clip.mp4"), rate=10)


def test_a_password_is_not_in_the_error_of_a_rate() -> None:
    with pytest.raises(UsageError) as caught:
        open_source("rtsp://anna:hunter2@host/cam?key=hunter2", rate=10)
    assert "hunter2" not in str(caught.value)


def test_a_source_may_stand_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUR_CAMERA", "street:seed=4,length=3")
    source = open_source("env:OUR_CAMERA")
    assert source.open().frame_count == 3
    source.close()
    monkeypatch.delenv("OUR_CAMERA")
    with pytest.raises(UsageError, match="environment variable 'OUR_CAMERA' is not set"):
        open_source("env:OUR_CAMERA")
