"""Networks: blocks, one family a file, chosen by name through the registry."""
