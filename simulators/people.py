"""Invented customers: names, addresses, telephone numbers, flags.

All fictional: the town of Yunxi does not exist, and the numbers begin with +86 100, which no
network of China issues.
"""

from dataclasses import dataclass

import numpy as np

_FAMILY = "王李张刘陈杨黄赵吴周徐孙马朱胡林郭何高罗"
_GIVEN = "明芳伟娜静丽强磊军洋艳勇杰娟涛超霞平刚桂英华玉兰建国志远思雨"
_EN_FIRST = "Alice Ben Clara Daniel Emma Frank Grace Henry Iris Jack Karen Leo Mia Noah".split()
_EN_LAST = "Ashford Brook Carver Dale Elmwood Fairfax Greene Harlow Ives Kirby".split()
STREETS = (
    ("云溪路", "Yunxi Road"),
    ("青石巷", "Qingshi Lane"),
    ("枫林街", "Fenglin Street"),
    ("望江路", "Wangjiang Road"),
    ("桃源里", "Taoyuan Lane"),
    ("学府路", "Xuefu Road"),
    ("东湖街", "Donghu Street"),
    ("竹园路", "Zhuyuan Road"),
    ("南桥街", "Nanqiao Street"),
    ("柳岸里", "Liu'an Lane"),
)


@dataclass(frozen=True, slots=True)
class Person:
    """One row of customers.csv."""

    account: str
    name: str
    phone: str
    address: str
    category: str
    flags: str
    supply_status: str


def street(index: int) -> tuple[str, str]:
    """Chinese and English name of the street an area lies in."""
    zh, en = STREETS[index % len(STREETS)]
    lap = index // len(STREETS)
    return (f"{zh}{lap + 1}段", f"{en} {lap + 1}") if lap else (zh, en)


def customers(
    rng: np.random.Generator, first: int, street_index: int, categories: list[str], town: str
) -> list[Person]:
    """One customer for each category given; accounts count up from `first`."""
    zh, en = street(street_index)
    found = []
    for k, category in enumerate(categories):
        number = first + k
        english = rng.random() < 0.12
        if category == "residential":
            if english:
                name = f"{rng.choice(_EN_FIRST)} {rng.choice(_EN_LAST)}"
            else:
                name = rng.choice(list(_FAMILY)) + "".join(
                    rng.choice(list(_GIVEN), rng.integers(1, 3))
                )
        else:
            shop = {
                "commercial": ("商店", "Shop"),
                "industrial": ("加工厂", "Works"),
                "hospital": ("卫生院", "Clinic"),
                "school": ("小学", "School"),
            }[category]
            name = f"{zh}{shop[0]} / {en} {shop[1]}"
        house, room = 2 + 2 * (k // 3), 101 + 100 * (k % 3)
        address = f"{house} {en}, {town}" if english else f"{town}镇{zh}{house}号{room}室"
        flags = []
        if category == "residential":
            if rng.random() < 0.012:
                flags.append("life_support")
            if rng.random() < 0.09:
                flags.append("elderly")
        if category == "hospital":
            flags.append("life_support")
        found.append(
            Person(
                account=f"31{number:08d}",
                name=str(name),
                phone=f"+86 100 {number // 10000:04d} {number % 10000:04d}",
                address=address,
                category=category,
                flags=";".join(flags),
                supply_status="arrears_off" if rng.random() < 0.005 else "active",
            )
        )
    return found
