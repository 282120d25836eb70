#!/usr/bin/python3
"""Bookinfo details: facts about one book. Usage: details.py ADDRESS PORT"""

import sys

from service import Reply, Service

service = Service("details")


@service.route("GET", r"/details/(\d+)")
def details(_, product: str) -> Reply:
    return Reply({"id": int(product), "author": "William Shakespeare", "year": 1595, "type": "paperback", "pages": 200,
                  "publisher": "PublisherA", "language": "English", "ISBN-10": "1234567890", "ISBN-13": "123-1234567890"})


service.serve(sys.argv[1], int(sys.argv[2]))
