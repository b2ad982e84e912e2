"""A Citus cluster: the rows of each user are on one shard, and its node runs the statements."""
