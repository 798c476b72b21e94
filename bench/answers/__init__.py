"""What people answered: the ledger in a run's folder, the learner's side of it, and how well people did."""
