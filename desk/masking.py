"""Names and phones as screens show them until somebody asks for more."""


def mask_name(text: str) -> str:
    """Only what is needed to recognise somebody.

    >>> mask_name("王小明"), mask_name("李四"), mask_name("City Hospital")
    ('王*明', '李*', 'C***l')
    """
    if len(text) <= 1:
        return text
    if len(text) == 2:
        return text[0] + "*"
    return text[0] + "*" * min(len(text) - 2, 3) + text[-1]


def mask_phone(text: str) -> str:
    """The first three and the last four digits.

    >>> mask_phone("13900001234")
    '139****1234'
    """
    return f"{text[:3]}****{text[-4:]}" if len(text) >= 8 else "*" * len(text)
