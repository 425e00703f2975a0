"""The endpoints that clients manage with: exports in both API versions, devices and apps."""
