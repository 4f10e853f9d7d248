"""Metadata of a Sentinel-2 product as ESA's processors write it, cut to what is read."""

from collections.abc import Mapping, Sequence

BAND_IDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12")
"""`band_id` counts these (Product Specification Document, S2-PDGS-TAS-DI-PSD, table of physical bands)."""
QUANTIFICATION = {
    "L1C": '<QUANTIFICATION_VALUE unit="none">{}</QUANTIFICATION_VALUE>',
    "L2A": '<QUANTIFICATION_VALUES_LIST><BOA_QUANTIFICATION_VALUE unit="none">{}</BOA_QUANTIFICATION_VALUE>'
    '<AOT_QUANTIFICATION_VALUE unit="none">1000.0</AOT_QUANTIFICATION_VALUE>'
    '<WVP_QUANTIFICATION_VALUE unit="cm">1000.0</WVP_QUANTIFICATION_VALUE></QUANTIFICATION_VALUES_LIST>',
    "L2A, 2017": '<L1C_L2A_Quantification_Values_List><L1C_TOA_QUANTIFICATION_VALUE unit="none">10000'
    '</L1C_TOA_QUANTIFICATION_VALUE><L2A_BOA_QUANTIFICATION_VALUE unit="none">{}</L2A_BOA_QUANTIFICATION_VALUE>'
    "</L1C_L2A_Quantification_Values_List>",
}
OFFSETS = {
    "L1C": ("Radiometric_Offset_List", "RADIO_ADD_OFFSET"),
    "L2A": ("BOA_ADD_OFFSET_VALUES_LIST", "BOA_ADD_OFFSET"),
}
BOMB = (
    '<!DOCTYPE bomb [<!ENTITY a "aaaaaaaaaa">'
    + "".join(f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefgh", "bcdefghi", strict=True))
    + "]>"
)
"""Nested entities that would grow to a gigabyte."""


def product_xml(
    level: str,
    *,
    name: str,
    platform: str,
    baseline: str,
    start: str,
    images: Sequence[str],
    offsets: Mapping[str, float] | None,
    quantification: float = 10_000,
    bomb: bool = False,
) -> str:
    """Make the text of MTD_MSIL1C.xml or MTD_MSIL2A.xml.

    Products before 02.07 have the tags that Sen2Cor used in 2017.
    """
    early = level == "L2A" and float(baseline) < 2.07
    info, prefix = ("L2A_Product_Info", "L2A_") if early else ("Product_Info", "")
    grade = level[1:]
    files = "".join(f"<IMAGE_FILE>{image}</IMAGE_FILE>" for image in images)
    return f"""<?xml version="1.0" encoding="UTF-8" standalone="no"?>{BOMB if bomb else ""}
<n1:Level-{grade}_User_Product xmlns:n1="https://psd-14.sentinel2.eo.esa.int/PSD/User_Product_Level-{grade}.xsd">
  <n1:General_Info>
    <{info}>
      <PRODUCT_START_TIME>{start}</PRODUCT_START_TIME>
      <PRODUCT_STOP_TIME>{start}</PRODUCT_STOP_TIME>
      <PRODUCT_URI>{"&i;" if bomb else name}</PRODUCT_URI>
      <PROCESSING_LEVEL>Level-{grade}{"p" if early else ""}</PROCESSING_LEVEL>
      <PRODUCT_TYPE>S2MSI{grade}</PRODUCT_TYPE>
      <PROCESSING_BASELINE>{baseline}</PROCESSING_BASELINE>
      <GENERATION_TIME>{start}</GENERATION_TIME>
      <Datatake datatakeIdentifier="G{platform}_20210527T102021_030970_N{baseline}">
        <SPACECRAFT_NAME>Sentinel-{platform[1:]}</SPACECRAFT_NAME>
        <DATATAKE_TYPE>INS-NOBS</DATATAKE_TYPE>
        <DATATAKE_SENSING_START>{start}</DATATAKE_SENSING_START>
        <SENSING_ORBIT_NUMBER>65</SENSING_ORBIT_NUMBER>
        <SENSING_ORBIT_DIRECTION>DESCENDING</SENSING_ORBIT_DIRECTION>
      </Datatake>
      <{prefix}Product_Organisation><Granule_List><Granule imageFormat="JPEG2000">{files}</Granule></Granule_List>
      </{prefix}Product_Organisation>
    </{info}>
    <{prefix}Product_Image_Characteristics>
      <Special_Values><SPECIAL_VALUE_TEXT>NODATA</SPECIAL_VALUE_TEXT><SPECIAL_VALUE_INDEX>0</SPECIAL_VALUE_INDEX>
      </Special_Values>
      <Special_Values><SPECIAL_VALUE_TEXT>SATURATED</SPECIAL_VALUE_TEXT><SPECIAL_VALUE_INDEX>65535</SPECIAL_VALUE_INDEX>
      </Special_Values>
      {QUANTIFICATION["L2A, 2017" if early else level].format(f"{quantification:g}")}
      {_offset_list(level, offsets)}
      <Reflectance_Conversion><U>0.97</U></Reflectance_Conversion>
    </{prefix}Product_Image_Characteristics>
  </n1:General_Info>
</n1:Level-{grade}_User_Product>
"""


def _offset_list(level: str, offsets: Mapping[str, float] | None) -> str:
    if offsets is None:
        return ""
    outer, inner = OFFSETS[level]
    rows = [f'<{inner} band_id="{BAND_IDS.index(band)}">{value:g}</{inner}>' for band, value in offsets.items()]
    return f"<{outer}>{''.join(rows)}</{outer}>"
