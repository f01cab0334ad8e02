"""What training reads: pixels, RecordIO files and batches."""
