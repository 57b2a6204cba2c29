"""`python -m ftps_harness` is `ftps-lab`."""

from ftps_harness.cli import main

if __name__ == "__main__":
    main()
