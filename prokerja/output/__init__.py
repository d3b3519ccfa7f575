"""What jobs have printed, by attempt: files beside the queue."""
