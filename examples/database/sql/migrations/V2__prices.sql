-- Expand: what runs now reads and writes `price`, what comes next `price_cents`.
ALTER TABLE items ADD COLUMN price_cents bigint;
UPDATE items SET price_cents = round(price * 100);
