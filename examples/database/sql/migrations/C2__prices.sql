-- Contract: nothing reads `price` any more.
ALTER TABLE items DROP COLUMN price;
