-- How the channel fares: JSON, written by the lane every few seconds; NULL: it never made an attempt.
ALTER TABLE channels ADD COLUMN health TEXT;
