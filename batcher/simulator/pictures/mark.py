"""The small mark that tells a simulated picture from a real one."""

from __future__ import annotations

from PIL import Image, ImageDraw, ImageFont

from batcher.simulator.pictures import paint

TEXT = "simulated"
SCALE = 3


def marked(picture: Image.Image) -> Image.Image:
    """A picture with the mark in its lower right corner."""
    unit = min(picture.size)
    height = max(16, round(unit * 0.03))
    if height + 4 > unit:
        return picture
    font = ImageFont.load_default(round(height * SCALE * 0.62))
    left, _, right, _ = font.getbbox(TEXT)
    inner = height * SCALE
    width = round(right - left + inner * 0.9)
    if width / SCALE + 4 > picture.width:
        return picture
    pill, label = Image.new("L", (width, inner), 0), Image.new("L", (width, inner), 0)
    ImageDraw.Draw(pill).rounded_rectangle((0, 0, width - 1, inner - 1), radius=inner / 2, fill=255)
    middle = font.getbbox("sumated")
    ImageDraw.Draw(label).text(((width - right - left) / 2, (inner - middle[3] - middle[1]) / 2), TEXT, fill=255, font=font)
    size = (max(1, width // SCALE), max(1, height))
    pill, label = pill.resize(size, Image.Resampling.BOX), label.resize(size, Image.Resampling.BOX)
    margin = max(2, round(unit * 0.018))
    place = (picture.width - size[0] - margin, picture.height - size[1] - margin)
    result = picture.copy()
    result.paste((16, 18, 24), place, paint.strength(pill, 0.42))
    result.paste((255, 255, 255), place, paint.strength(label, 0.86))
    return result
