"""Audience packs and data quality: what left the house, and whether to trust the rest."""

from dashboard.model import Figure, Page, Tile, Words

AUDIENCE = Page(
    id="audience",
    title=Words("Audience packs", "人群包"),
    lead=Words(
        "What left the house, under which guarantee, did an attack get through, and how much "
        "budget is spent?",
        "哪些数据已发出、有何保证、攻击是否得手、预算用了多少？",
    ),
    tiles=(),
    figures=(
        Figure(
            id="packs",
            title=Words("Privacy cards", "隐私卡片"),
            sql="""
                with attacks as (
                    select
                        pack,
                        version,
                        count(*) as attacks,
                        count(*) filter (where passed) as attacks_held
                    from audience.attacks
                    group by pack, version
                )

                select
                    packs.pack,
                    packs.version,
                    packs.status,
                    packs.kind,
                    packs.purpose,
                    packs.population,
                    packs.created_at,
                    packs.expires_at,
                    packs.epsilon,
                    packs.delta,
                    packs.beta,
                    packs.k,
                    packs.l,
                    packs.t,
                    attacks.attacks_held,
                    attacks.attacks
                from audience.packs
                left join attacks
                    on packs.pack = attacks.pack and packs.version = attacks.version
                order by packs.created_at desc, packs.pack, packs.version desc
            """,
            chart={"kind": "cards", "title": "pack", "badge": "status"},
            formats={"epsilon": "number", "delta": "p", "beta": "number", "t": "number"},
            metrics=(),
            clock="published",
            marts=("audience.packs", "audience.attacks"),
            per=Words(
                "a person's ε and δ in one version; no exact count of people is published",
                "单版本的个人 ε 与 δ；不公布任何精确人数",
            ),
            note=Words(
                "`tandem audience build PACK` makes one; the next build shows it.",
                "`tandem audience build PACK` 生成人群包，下次构建后在此显示。",
            ),
            limit=200,
            wide=True,
        ),
        Figure(
            id="budget",
            title=Words("Privacy budget of the last 90 days", "近 90 天隐私预算"),
            sql="""
                with charges as (
                    select distinct population, purpose, entry, epsilon, delta
                    from audience.release_ledger
                    where status = 'charged'
                        and recorded_at > (
                            select max(published_at) from main._publish
                        ) - interval 90 day
                )

                select
                    population,
                    purpose,
                    sum(epsilon) as epsilon_spent,
                    sum(delta) as delta_spent,
                    count(*) as charges
                from charges
                group by population, purpose
                order by population, purpose
            """,
            chart={
                "kind": "bar",
                "x": "population",
                "y": ["epsilon_spent"],
                "by": "purpose",
                "stack": True,
            },
            formats={"epsilon_spent": "number", "delta_spent": "p"},
            metrics=(),
            clock="published",
            marts=("audience.release_ledger",),
            per=Words(
                "plain sum of the charges, an upper bound of what composition accounts for",
                "各笔扣减之和，是组合核算的上界",
            ),
            note=Words(
                "`tandem audience list` says what is left under the caps.",
                "剩余额度见 `tandem audience list`。",
            ),
        ),
        Figure(
            id="attacks",
            title=Words("Attacks on every candidate", "对候选包的攻击"),
            sql="""
                select pack, version, attack, value, gate, passed
                from audience.attacks
                order by passed, pack, version desc, attack
            """,
            chart={"kind": "list", "search": ["pack", "attack"]},
            formats={"value": "number", "gate": "number"},
            metrics=(),
            clock="published",
            marts=("audience.attacks",),
            per=Words("what the attack reached against its gate", "攻击所得与其门槛"),
            limit=1_000,
        ),
        Figure(
            id="uplift",
            title=Words("Cost per new member, pack against hold-out", "人群包与留出组的获客成本"),
            sql="""
                select
                    source || ' · ' || pack_id as pack,
                    cac_difference,
                    difference_ci_low,
                    difference_ci_high,
                    cac,
                    new_members,
                    spend_minor,
                    groups,
                    is_randomised
                from revenue.pack_uplift
                where arm = 'pack' and groups > 0
                order by pack
            """,
            chart={
                "kind": "interval",
                "label": "pack",
                "mid": "cac_difference",
                "low": "difference_ci_low",
                "high": "difference_ci_high",
                "valid": "is_randomised",
                "down_is_good": True,
            },
            formats={
                "cac_difference": "money",
                "difference_ci_low": "money",
                "difference_ci_high": "money",
                "cac": "money",
            },
            metrics=("pack_cac", "pack_effect"),
            marts=("revenue.pack_uplift",),
            per=Words(
                "spend ÷ new members, pack less hold-out; hollow: not randomised",
                "花费 ÷ 新成员，人群包减留出组；空心：未随机",
            ),
            logs=("operations/spend", "group/memberships"),
            limit=300,
            wide=True,
        ),
    ),
)

QUALITY = Page(
    id="quality",
    title=Words("Data quality", "数据质量"),
    lead=Words(
        "May I trust today's pages: did the gates pass, are the logs fresh, what was rejected, "
        "does what goes in come out?",
        "今天的数字可信吗：门禁通过了吗、日志新鲜吗、拒收了什么、进出对得上吗？",
    ),
    tiles=(
        Tile(
            id="rules",
            title=Words("Rules that held", "通过的规则"),
            sql="""
                select
                    count(*) filter (where success) / nullif(count(*), 0) as value,
                    count(*) filter (where success) as numerator,
                    count(*) as denominator,
                    cast(max(checked_at) as date) as at
                from quality.validations
                where run = (select build_id from main._publish)
            """,
            format="ratio",
            metrics=(),
            marts=("quality.validations",),
            per=Words("of the rules of the last build", "占上次构建的规则"),
        ),
        Tile(
            id="critical",
            title=Words("Critical rules broken", "关键规则失败"),
            sql="""
                select
                    count(*) filter (where not success and severity = 'critical') as value,
                    count(*) filter (where severity = 'critical') as denominator,
                    cast(max(checked_at) as date) as at
                from quality.validations
                where run = (select build_id from main._publish)
            """,
            format="count",
            metrics=(),
            marts=("quality.validations",),
            per=Words("critical rules; one broken blocks the publish", "关键规则；失败即阻止发布"),
            up_is_good=False,
        ),
        Tile(
            id="rejected",
            title=Words("Lines rejected", "拒收行"),
            sql="""
                select
                    sum(rejected) / nullif(sum(lines_read), 0) as value,
                    cast(sum(rejected) as bigint) as numerator,
                    cast(sum(lines_read) as bigint) as denominator,
                    cast(max(loaded_at) as date) as at
                from quality.ingestion
            """,
            format="ratio",
            metrics=(),
            marts=("quality.ingestion",),
            per=Words("of all lines read", "占读入行数"),
            up_is_good=False,
        ),
        Tile(
            id="unexplained",
            title=Words("Records unexplained", "无法解释的记录"),
            sql="""
                select
                    cast(sum(abs(unexplained)) as bigint) as value,
                    cast(sum("in") as bigint) as denominator
                from quality.reconciliation
            """,
            format="count",
            metrics=(),
            marts=("quality.reconciliation",),
            per=Words("records in, over all stages", "各阶段读入记录"),
            up_is_good=False,
        ),
    ),
    figures=(
        Figure(
            id="gates",
            title=Words("Gates", "门禁"),
            sql="""
                select
                    stage,
                    count(*) filter (where success) as passed_rules,
                    count(*) filter (where not success and severity <> 'critical') as warnings,
                    count(*) filter (where not success and severity = 'critical')
                        as critical_failures
                from quality.validations
                where run = (select build_id from main._publish)
                group by stage
                order by case stage
                    when 'raw' then 1 when 'staging' then 2 when 'intermediate' then 3
                    when 'marts' then 4 else 5
                end
            """,
            chart={
                "kind": "hbar",
                "x": "stage",
                "y": ["passed_rules", "warnings", "critical_failures"],
                "stack": True,
            },
            metrics=(),
            clock="published",
            marts=("quality.validations",),
            per=Words("rules of the published build, a count", "已发布构建的规则数"),
            note=Words(
                "The export gate judges the file after it is written: see `tandem status`.",
                "发布门禁在文件写成后判定：见 `tandem status`。",
            ),
        ),
        Figure(
            id="freshness",
            title=Words("Age of the newest record when loaded", "最新记录入库时的滞后"),
            sql="""
                select log, lag_seconds, last_occurred_at, last_loaded_at
                from quality.freshness
                order by lag_seconds desc nulls first, log
            """,
            chart={"kind": "hbar", "x": "log", "y": ["lag_seconds"]},
            metrics=(),
            clock="published",
            marts=("quality.freshness",),
            per=Words(
                "time from the newest record to its load; — no record yet",
                "最新记录距入库的时长；— 为尚无记录",
            ),
        ),
        Figure(
            id="failed",
            title=Words("Rules that did not hold", "未通过的规则"),
            sql="""
                select severity, stage, table_name, expectation, column_name, observed
                from quality.validations
                where not success and run = (select build_id from main._publish)
                order by
                    case severity when 'critical' then 1 when 'warning' then 2 else 3 end,
                    stage, table_name, expectation, column_name
            """,
            chart={"kind": "list", "search": ["table_name", "expectation"], "fine": True},
            metrics=(),
            clock="published",
            marts=("quality.validations",),
            per=Words("verdicts, a count", "判定条数"),
            limit=500,
            wide=True,
        ),
        Figure(
            id="ingestion",
            title=Words("Lines by log", "各日志行数"),
            sql="""
                select
                    log,
                    cast(sum(lines_read) as bigint) as lines_read,
                    cast(sum(accepted) as bigint) as accepted,
                    cast(sum(rejected) as bigint) as rejected,
                    cast(sum(duplicates) as bigint) as duplicates,
                    sum(rejected) / nullif(sum(lines_read), 0) as rejected_share,
                    count(*) as files,
                    count(*) filter (where state = 'quarantined') as files_quarantined,
                    max(loaded_at) as loaded_at
                from quality.ingestion
                group by log
                order by rejected desc, log
            """,
            chart={"kind": "list", "search": ["log"]},
            metrics=(),
            clock="published",
            marts=("quality.ingestion",),
            per=Words(
                "lines; read = accepted + rejected + duplicates", "行；读入 = 接受 + 拒收 + 重复"
            ),
            wide=True,
        ),
        Figure(
            id="rejected",
            title=Words("Quarantine", "隔离区"),
            sql="""
                select log, reason, field, count(*) as lines, count(distinct file) as files
                from quality.rejected
                group by log, reason, field
                order by lines desc, log, reason, field
            """,
            chart={"kind": "list", "search": ["log", "reason"]},
            metrics=(),
            clock="published",
            marts=("quality.rejected",),
            per=Words("rejected lines by reason, a count", "按原因的拒收行数"),
            note=Words(
                "An empty list is good news: nothing was rejected.",
                "空表即好消息：没有拒收。",
            ),
            limit=500,
        ),
        Figure(
            id="reconciliation",
            title=Words("Does what goes in come out", "进出对账"),
            sql="""
                select
                    stage_pair,
                    "in" as records_in,
                    "out" as records_out,
                    explained,
                    unexplained,
                    explained_by
                from quality.reconciliation
                order by abs(unexplained) desc, stage_pair
            """,
            chart={"kind": "list", "search": ["stage_pair"], "fine": True},
            metrics=(),
            clock="published",
            marts=("quality.reconciliation",),
            per=Words(
                "records; in = out + explained + unexplained", "记录；入 = 出 + 已解释 + 未解释"
            ),
            limit=500,
            wide=True,
        ),
    ),
)
