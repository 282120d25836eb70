#!/usr/bin/python3
"""Bookinfo ratings: the stars that two reviewers gave. Usage: ratings.py ADDRESS PORT"""

import sys

from service import Reply, Service

service = Service("ratings")


@service.route("GET", r"/ratings/(\d+)")
def ratings(_, product: str) -> Reply:
    return Reply({"id": int(product), "ratings": {"Reviewer1": 5, "Reviewer2": 4}})


service.serve(sys.argv[1], int(sys.argv[2]))
