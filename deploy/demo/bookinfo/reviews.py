#!/usr/bin/python3
"""Bookinfo reviews: v1 without stars, v2 with black stars, v3 with red ones. Usage: reviews.py ADDRESS PORT VERSION RATINGS"""

import sys

from service import Reply, Service, call

version, ratings_base = sys.argv[3], sys.argv[4]
star_color = {"v1": None, "v2": "black", "v3": "red"}[version]
service = Service(f"reviews-{version}")

TEXTS = {
    "Reviewer1": "An extremely entertaining play by Shakespeare. The slapstick humour is refreshing!",
    "Reviewer2": "Absolutely fun and entertaining. The play lacks thematic depth when compared to other plays by Shakespeare.",
}


@service.route("GET", r"/reviews/(\d+)")
def reviews(request, product: str) -> Reply:
    stars = None
    if star_color:
        status, answer = call(ratings_base, f"/ratings/{product}", request)
        stars = answer["ratings"] if status == 200 else None
    entries = []
    for reviewer, text in TEXTS.items():
        entry = {"reviewer": reviewer, "text": text}
        if star_color:
            entry["rating"] = ({"stars": stars[reviewer], "color": star_color} if stars
                               else {"error": "Ratings service is currently unavailable"})
        entries.append(entry)
    return Reply({"id": product, "podname": service.name, "clustername": "demo", "reviews": entries})


service.serve(sys.argv[1], int(sys.argv[2]))
