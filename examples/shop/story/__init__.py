"""The shop's story, told by examples/shop/story.py."""
