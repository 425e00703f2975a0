"""The protocol of Segment, which the SDKs of RudderStack and others speak too."""
