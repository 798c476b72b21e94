"""People give the labels: clips, the page and its server. ``bench.answers`` keeps what they say."""
