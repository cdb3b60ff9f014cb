"""The admin site."""

from unfold.sites import UnfoldAdminSite


class Site(UnfoldAdminSite):
    """The admin of operations staff."""

    site_header = "Task queue"
    site_title = "Task queue"
    index_title = "Overview"
