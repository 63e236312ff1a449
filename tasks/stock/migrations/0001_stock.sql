-- What is for sale, and what was sold. A file may be applied again: MariaDB commits each CREATE by itself.

CREATE TABLE IF NOT EXISTS items (
  id VARCHAR(100) NOT NULL PRIMARY KEY,
  stock INT NOT NULL, -- may go below zero, so that it shows when it is sold too often
  token BIGINT UNSIGNED NOT NULL DEFAULT 0 -- the highest fencing token seen; a lower one changes nothing any more
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS orders (
  id VARCHAR(100) NOT NULL PRIMARY KEY, -- the idempotency key: the task's id, so a task that runs twice sells once
  item VARCHAR(100) NOT NULL,
  number INT NOT NULL, -- which of the items; not unique, so that it shows when one is sold twice
  token BIGINT UNSIGNED NULL, -- under which it was sold
  FOREIGN KEY (item) REFERENCES items (id)
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
