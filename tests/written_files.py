"""Word documents and PDF files, tiny, written by hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
KINDS = "http://schemas.openxmlformats.org"


def docx(
    path: Path, body: str, *, title: str = "", extra: dict[str, str] | None = None, main: str = "word/document.xml"
) -> Path:
    """A document whose body is WordprocessingML, with the prefix ``w``."""
    links = f'<Relationship Type="{KINDS}/officeDocument/2006/relationships/officeDocument" Target="{main}"/>'
    links += (
        f'<Relationship Type="{KINDS}/package/2006/relationships/metadata/core-properties" Target="docProps/core.xml"/>'
    )
    parts = {
        "_rels/.rels": f'<Relationships xmlns="{KINDS}/package/2006/relationships">{links}</Relationships>',
        main: f'<w:document xmlns:w="{WORD}" xmlns:mc="urn:mc"><w:body>{body}</w:body></w:document>',
        "docProps/core.xml": f'<c xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>{title}</dc:title></c>',
        **(extra or {}),
    }
    with ZipFile(path, "w", ZIP_DEFLATED) as archive:
        for name, text in parts.items():
            archive.writestr(name, text)
    return path


def paragraph(text: str, style: str = "") -> str:
    """A paragraph."""
    properties = f'<w:pPr><w:pStyle w:val="{style}"/><w:tabs><w:tab w:pos="1"/></w:tabs></w:pPr>' if style else ""
    return f"<w:p>{properties}<w:r><w:t>{text}</w:t></w:r></w:p>"


def pdf(path: Path, *pages: list[str], title: str = "", encrypt: bool = False, scans: Sequence[int] = ()) -> Path:
    """A file with lines of text on its pages; a page without lines has none, as a scan has; pages of ``scans`` show a picture."""
    objects = ["<< /Type /Catalog /Pages 2 0 R >>"]
    kids = " ".join(f"{4 + 2 * at} 0 R" for at in range(len(pages)))
    objects += [f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>"]
    objects += ["<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"]
    for at, lines in enumerate(pages):
        content = (
            "BT /F1 12 Tf 14 TL 72 720 Td " + " ".join(f"({line}) Tj T*" for line in lines) + " ET" if lines else ""
        )
        picture = f"/XObject << /I {4 + 2 * len(pages)} 0 R >>" if at + 1 in scans else ""
        objects += [
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Resources << /Font << /F1 3 0 R >> {picture} >> "
            f"/Contents {5 + 2 * at} 0 R >>",
            f"<< /Length {len(content)} >>\nstream\n{content}\nendstream",
        ]
    objects += [
        "<< /Type /XObject /Subtype /Image /Width 1 /Height 1 /ColorSpace /DeviceGray /BitsPerComponent 8 /Length 1 >>\n"
        "stream\n0\nendstream",
        f"<< /Title ({title}) >>",
    ]
    data, places = "%PDF-1.4\n", []
    for number, one in enumerate(objects, 1):
        places.append(len(data))
        data += f"{number} 0 obj\n{one}\nendobj\n"
    table = "".join(f"{place:010} 00000 n \n" for place in places)
    locked = (
        f"/Encrypt << /Filter /Standard /V 1 /R 2 /O ({'o' * 32}) /U ({'u' * 32}) /P -4 >> /ID [(i) (i)] "
        if encrypt
        else ""
    )
    trailer = f"trailer\n<< /Size {len(objects) + 1} /Root 1 0 R /Info {len(objects)} 0 R {locked}>>\n"
    data += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}{trailer}startxref\n{len(data)}\n%%EOF\n"
    path.write_bytes(data.encode("latin-1"))
    return path
