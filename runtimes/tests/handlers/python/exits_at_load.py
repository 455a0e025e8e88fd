import sys
print("loading")
sys.exit(3)
