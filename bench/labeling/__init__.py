"""People give the labels: the ledger of questions and answers, clips, the page and its server."""
