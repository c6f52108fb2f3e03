"""`card.md`: one page in Chinese and English for who receives a pack and who signs it.

It holds what the definition declares, what the file itself shows, and the attacks' verdicts;
never how many persons were eligible, or what share was left out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime

from orchestration.audience.interface import AttackResult, PackSpec
from orchestration.audience.ledger import Balance
from orchestration.audience.manifest import as_json
from orchestration.audience.policy import AudiencePolicy

NAME = "card.md"


def make_card(
    spec: PackSpec,
    *,
    number: int,
    created_at: datetime,
    expires_at: datetime,
    rows: int,
    accuracy: Mapping[str, float],
    balance: Balance,
    attacks: Sequence[AttackResult],
    policy: AudiencePolicy,
) -> str:
    """The card's text. Its first line warns when settings loosened a floor or a cap."""
    lines = _warning(policy)
    lines += [f"# {spec.pack} v{number:03d}", ""]
    lines += [f"{spec.title[language]}  " for language in ("zh", "en") if language in spec.title]
    lines += _chinese(spec, expires_at, rows, accuracy, balance)
    lines += _english(spec, expires_at, rows, accuracy, balance)
    lines += _attacks(attacks)
    lines += ["", f"{created_at:%Y-%m-%d %H:%M} UTC · spec {spec.sha256[:12]}"]
    return "\n".join(lines) + "\n"


def _attacks(attacks: Sequence[AttackResult]) -> list[str]:
    """A table of what was tried, and in one line what this kind of pack gives nothing for."""
    idle = [item for item in attacks if item.passed and item.detail.startswith("does not apply")]
    lines = ["", "## 攻击测试 / Attacks", ""]
    lines += ["数值为攻击所达上限，越小越好；不超过门限即通过。", ""]
    lines += ["What each attack reached at most; it failed when that is within its gate.", ""]
    lines += [
        "| 攻击 attack | 试图 it tries to | 值 value ≤ | 门 gate | 挡住 held |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {item.id} | {_TRIES.get(item.id, '')} | {as_json(item.value):g} | {item.gate:g} | "
        f"{'是 yes' if item.passed else '否 no'} |"
        for item in attacks
        if item not in idle
    ]
    if idle:
        names = ", ".join(item.id for item in idle)
        lines += ["", f"此类包无可攻击 / Nothing of this kind to attack in it: {names}."]
    return lines


_TRIES: Mapping[str, str] = {
    "linkage_prosecutor": "认出已知在内者的行 find the row of someone known to be in it",
    "linkage_journalist": "认出可能在内者的行 find the row of someone who may be in it",
    "linkage_marketer": "逐行配对全部人 match every row to a person",
    "classes_l": "找取值太少的类 find a class with too few sensitive values",
    "classes_alpha": "找一值独大的类 find a class that one value dominates",
    "classes_t": "找偏离全体的类 find a class unlike the whole",
    "singling_out": "写出只命中一人的条件 write a condition true of one person",
    "linkability_halves": "拼接两半列 join two halves of the columns",
    "linkability_packs": "在旧包里找同一人 find a row in an earlier pack",
    "linkability_joins": "按唯一值连接旧包 join earlier packs on unique values",
    "inference": "由其余列猜敏感值 guess the sensitive value from the rest",
    "membership": "判断某人是否在内 tell whether someone is in the data",
    "randomness": "测抽样或噪声是否足够 measure whether the draw was random enough",
    "contribution": "让一人多次出现 count one person more than allowed",
    "differencing": "对比两次发布 read a person off two releases",
    "margins": "由合计反推小格 solve small cells from totals",
    "intersection": "交叉多个包缩小范围 intersect many packs",
    "neighbours": "去掉一人看他人变化 see others change when one leaves",
    "coins": "利用重复的硬币 use coins that were kept",
    "vocabulary": "夹带未声明的列或值 smuggle out undeclared values",
    "dictionary": "用全部已知 ID 查字典 look up every known id, hashed or not",
    "canaries": "找预埋的 200 人 find 200 planted persons",
    "keys": "找密钥 find a secret key",
    "repeat_files": "重写后找差异 find a difference in a second writing",
    "repeat_charge": "不付费再抽 draw again without paying",
    "side_channels": "从顺序或元数据读出信息 read order, metadata or counts",
}


def guess_percent(epsilon: float) -> float:
    """How often, at most, one is right about a person being in the data: e^ε / (1 + e^ε)."""
    return 100 / (1 + math.exp(-epsilon))


def _warning(policy: AudiencePolicy) -> list[str]:
    loosened = policy.loosened()
    if not loosened:
        return []
    words = ", ".join(f"{name} = {now:g} ({usual:g})" for name, (now, usual) in loosened.items())
    return [
        f"> **设置放宽了隐私下限 / Settings loosened the privacy floors:** {words}",
        "",
    ]


def _segment(spec: PackSpec, before: str) -> str:
    conditions = [
        f"`{item.column} {item.op} "
        f"{', '.join(map(str, item.value)) if isinstance(item.value, tuple) else item.value}`"
        for item in spec.segment
    ]
    return before + ", ".join(conditions) if conditions else ""


def _known_zh(spec: PackSpec) -> str:
    return "能认出在其中，就等于得知这一条件。" if spec.segment else ""


def _known_en(spec: PackSpec) -> str:
    return " To be in it is to meet that condition." if spec.segment else ""


def _columns(spec: PackSpec) -> str:
    return "、".join(f"`{column.name}`" for column in spec.columns)


def _chinese(
    spec: PackSpec,
    expires_at: datetime,
    rows: int,
    accuracy: Mapping[str, float],
    balance: Balance,
) -> list[str]:
    held = spec.guarantee
    lines = ["", "## 中文", ""]
    if spec.product == "rows":
        lines += [
            f"**是什么** 已匿名的行：{rows:,} 行，各列 {_columns(spec)}。没有行号、ID 或假名。"
            f"先用一次性随机硬币抽样（比例 {held.beta:g}），按事先写定的分段重编码，"
            f"整行取值不足 {held.k} 行的一律去掉。",
        ]
    else:
        lines += [
            f"**是什么** 加噪的计数：{rows:,} 个单元，各列 {_columns(spec)}。"
            f"每人最多进入 {spec.max_cells_per_person} 个单元，取值截断后加入整数噪声。",
        ]
    lines += [
        "",
        f"**谁在其中** 每个现用账号都同意、年满 18 岁且未删除的人{_segment(spec, '，并且 ')}；"
        f"行为取自 {spec.window_days} 天。{_known_zh(spec)}",
        "",
        f"**给谁、做什么** {'、'.join(spec.recipients)}；用途 {spec.purpose}；"
        f"{expires_at:%Y-%m-%d} 到期。不得与其他包逐行相连，不得尝试还原到人。",
        "",
        f"**一个人会失去什么** 即使攻击者认识其余所有人，猜此人是否在数据中也至多对 "
        f"{guess_percent(held.epsilon):.1f} %（瞎猜 50 %）"
        f"{f'，此承诺落空的机会至多 δ = {held.delta:.1g}' if held.delta else ''}。"
        f"ε = {held.epsilon:g}；{balance.window_days} 天内全部包合计 ε ≤ {balance.epsilon:.3g}"
        f"（上限 {balance.epsilon_cap:g}）。",
        "",
        "**WP216 三问**",
        "",
        f"- 能否挑出一个人？{_singling_zh(spec)}",
        f"- 能否与别处的记录相连？{_linking_zh(spec)}",
        f"- 能否推断一个人的属性？{_inference_zh(spec)}",
        "",
        "**不保护什么** 关于群体的事实（例如某地区偏好某话题）；本人在别处公开的内容；"
        "文件之外的渠道。",
        "",
        "**怎么用** 用 `recode.sql` 给自己的受众分段，再按各列与本包相连。",
    ]
    return lines + _accuracy(accuracy, "**准确度** 95 % 的噪声不超过：")


def _english(
    spec: PackSpec,
    expires_at: datetime,
    rows: int,
    accuracy: Mapping[str, float],
    balance: Balance,
) -> list[str]:
    held = spec.guarantee
    lines = ["", "## English", ""]
    columns = _columns(spec).replace("、", ", ")
    if spec.product == "rows":
        lines += [
            f"**What it is** Anonymous rows: {rows:,} of them, columns {columns}. No row id, no "
            "id, no pseudonym. Persons were sampled by coins that are used once "
            f"(rate {held.beta:g}), recoded as written down beforehand, and every whole row with "
            f"fewer than {held.k} like it was dropped.",
        ]
    else:
        lines += [
            f"**What it is** Noisy counts: {rows:,} cells, columns {columns}. Each person is in "
            f"at most {spec.max_cells_per_person} cells, with clamped values; "
            "integer noise was added.",
        ]
    lines += [
        "",
        "**Who is in it** Persons who consented on every current account, are surely 18 and are "
        f"not erased{_segment(spec, ', and of whom ')}; behaviour of {spec.window_days} days."
        f"{_known_en(spec)}",
        "",
        f"**For whom and what** {', '.join(spec.recipients)}; purpose {spec.purpose}; expires "
        f"{expires_at:%Y-%m-%d}. Do not join it to other packs row by row, and do not try to find "
        "anyone in it.",
        "",
        "**What one person can lose** Who knows everybody else guesses right whether this person "
        f"is in the data at most {guess_percent(held.epsilon):.1f} % of the time (blind: 50 %). "
        f"ε = {held.epsilon:g}"
        f"{f'; the chance that this fails is at most δ = {held.delta:.1g}' if held.delta else ''}"
        "; all packs of {balance.window_days} days "
        f"together ε ≤ {balance.epsilon:.3g} (cap {balance.epsilon_cap:g}).",
        "",
        "**The three questions of WP216**",
        "",
        f"- Can one person be singled out? {_singling_en(spec)}",
        f"- Can records be linked? {_linking_en(spec)}",
        f"- Can something be inferred of a person? {_inference_en(spec)}",
        "",
        "**What is not protected** Facts about groups (that a region likes a topic); what people "
        "publish elsewhere; channels beside the file.",
        "",
        "**How to use it** Band your own audience with `recode.sql`, then join by the columns.",
    ]
    return lines + _accuracy(accuracy, "**Accuracy** 95 % of the noise stays within: ")


def _accuracy(accuracy: Mapping[str, float], words: str) -> list[str]:
    if not accuracy:
        return []
    items = ", ".join(f"`{name}` ± {math.ceil(value):,}" for name, value in accuracy.items())
    return ["", f"{words}{items}"]


def _singling_zh(spec: PackSpec) -> str:
    if spec.product == "rows":
        return f"不能：每种整行取值至少有 {spec.guarantee.k} 行。"
    return "不能：每个数字都带有盖过任何一人的噪声。"


def _singling_en(spec: PackSpec) -> str:
    if spec.product == "rows":
        return f"No: every whole row stands at least {spec.guarantee.k} times."
    return "No: every figure has noise that hides any one person."


def _linking_zh(spec: PackSpec) -> str:
    if spec.product == "rows" and spec.guarantee.k:
        return f"没有可连接的键；认出一行属于某人的机会至多 {100 / spec.guarantee.k:g} %。"
    return "没有可连接的键，也没有个人的行。"


def _linking_en(spec: PackSpec) -> str:
    if spec.product == "rows" and spec.guarantee.k:
        return (
            "There is no key to link by; a row is a given person's with a chance of at most "
            f"{100 / spec.guarantee.k:g} %."
        )
    return "There is no key to link by, and no row of a person."


def _inference_zh(spec: PackSpec) -> str:
    held = spec.guarantee
    if not spec.sensitive or held.alpha is None:
        return "单元内不含个人的敏感取值；见上面的 ε。"
    return (
        f"其余列相同的人里，敏感列至少有 {held.l} 种取值，没有一种超过 {100 * held.alpha:g} %，"
        f"各值占比与全体的差（总变差）至多 {held.t:g}，0 为相同，1 为毫无重合。"
    )


def _inference_en(spec: PackSpec) -> str:
    held = spec.guarantee
    if not spec.sensitive or held.alpha is None:
        return "Nothing sensitive of a person stands in it; see ε above."
    return (
        f"Among rows that are equal in the other columns a sensitive one has at least {held.l} "
        f"values, none above {100 * held.alpha:g} %, and the shares of values are at most "
        f"{held.t:g} from the whole file's (total variation: 0 is equal, 1 is nothing shared)."
    )
