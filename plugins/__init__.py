"""The plugins that come with optcompare, written as anyone would write theirs."""
