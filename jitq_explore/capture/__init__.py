"""The only room that imports torch: runs the stages and reads what they leave into snapshots."""
