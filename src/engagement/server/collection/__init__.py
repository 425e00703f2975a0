"""The endpoints that devices report to: native batches and the messages of Segment SDKs."""
