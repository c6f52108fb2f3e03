"""The pages in the order of the menu."""

from dashboard.model import Page
from dashboard.pages import content, engagement, groups, overview, revenue, trust, users

PAGES: tuple[Page, ...] = (
    overview.PAGE,
    users.PAGE,
    content.PAGE,
    groups.PAGE,
    engagement.CAMPAIGNS,
    engagement.SCENES,
    engagement.EXPERIMENTS,
    engagement.FUNNELS,
    revenue.PAGE,
    trust.AUDIENCE,
    trust.QUALITY,
)
