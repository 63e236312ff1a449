-- The items for sale, and the orders. This file may be applied again: MariaDB commits each CREATE by itself.

CREATE TABLE IF NOT EXISTS items (
  id VARCHAR(100) NOT NULL PRIMARY KEY,
  stock INT NOT NULL, -- may go below zero, so that a sale too many shows
  token BIGINT UNSIGNED NOT NULL DEFAULT 0 -- the highest fencing token seen: a lower one changes this row no more
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS orders (
  id VARCHAR(100) NOT NULL PRIMARY KEY, -- the idempotency key: the task's id, so a task that runs twice sells once
  item VARCHAR(100) NOT NULL,
  number INT NOT NULL, -- which piece of the item; not unique, so that a piece sold twice shows
  token BIGINT UNSIGNED NULL, -- the fencing token of the sale
  FOREIGN KEY (item) REFERENCES items (id)
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
