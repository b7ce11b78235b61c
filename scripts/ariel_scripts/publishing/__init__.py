"""What is sent to the Hub, compared with what is there, in one commit."""
