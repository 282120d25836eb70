#!/usr/bin/python3
"""Bookinfo productpage: the page that joins the others. Usage: productpage.py ADDRESS PORT DETAILS REVIEWS RATINGS"""

import html
import sys
from http.cookies import SimpleCookie
from urllib.parse import parse_qs

from service import Reply, Service, call

details_base, reviews_base, ratings_base = sys.argv[3:6]
service = Service("productpage")

PRODUCT = {
    "id": 0,
    "title": "The Comedy of Errors",
    "descriptionHtml": "The Comedy of Errors is one of William Shakespeare's early plays: two pairs of twins, one day, one town.",
}
STYLE = ("body{font-family:sans-serif;max-width:60em;margin:2em auto;padding:0 1em}"
         "blockquote{border-left:4px solid #ccc;margin-left:0;padding-left:1em}.stars{letter-spacing:.2em}")


def stars(rating: dict) -> str:
    if "error" in rating:
        return f"<p>{html.escape(rating['error'])}</p>"
    return f"<p class='stars' style='color:{rating['color']}'>{'&#9733;' * rating['stars']}{'&#9734;' * (5 - rating['stars'])}</p>"


@service.route("GET", "/productpage")
def page(request) -> Reply:
    cookie = SimpleCookie(request.headers.get("cookie", ""))
    user = cookie["session"].value if "session" in cookie else ""
    details_status, details = call(details_base, "/details/0", request)
    reviews_status, reviews = call(reviews_base, "/reviews/0", request)
    parts = [f"<!DOCTYPE html><html><head><meta charset='utf-8'><title>Simple Bookstore App</title>"
             f"<link rel='stylesheet' href='/static/bookinfo.css'></head><body><h1>{PRODUCT['title']}</h1>"
             f"<p>{PRODUCT['descriptionHtml']}</p>",
             f"<p>Signed in as {html.escape(user)} <a href='/logout'>sign out</a></p>" if user else
             "<form method='post' action='/login'><input name='username'><button>sign in</button></form>",
             "<h2>Book Details</h2>"]
    if details_status == 200:
        parts += ["<dl>", *(f"<dt>{html.escape(str(k))}</dt><dd>{html.escape(str(v))}</dd>" for k, v in details.items()), "</dl>"]
    else:
        parts.append("<p>Sorry, product details are currently unavailable for this book.</p>")
    parts.append("<h2>Book Reviews</h2>")
    if reviews_status == 200:
        parts.append(f"<p>Reviews served by: <u>{html.escape(reviews['podname'])}</u></p>")
        for review in reviews["reviews"]:
            parts.append(f"<blockquote><p>{html.escape(review['text'])}</p><cite>{review['reviewer']}</cite>"
                         f"{stars(review['rating']) if 'rating' in review else ''}</blockquote>")
    else:
        parts.append("<p>Sorry, product reviews are currently unavailable for this book.</p>")
    parts.append("</body></html>")
    return Reply("".join(parts))


@service.route("GET", "/(?:index.html)?")
def index(_) -> Reply:
    return Reply("<!DOCTYPE html><title>Simple Bookstore App</title><a href='/productpage'>The product page</a>")


@service.route("GET", "/static/bookinfo.css")
def style(_) -> Reply:
    return Reply(STYLE, content_type="text/css", headers={"cache-control": "max-age=3600"})


@service.route("POST", "/login")
def login(request) -> Reply:
    user = parse_qs(request.form).get("username", [""])[0]
    name = "".join(c for c in user if c.isalnum())[:32]
    return Reply("", 302, headers={"location": "/productpage", "set-cookie": f"session={name}; Path=/; HttpOnly"})


@service.route("GET", "/logout")
def logout(_) -> Reply:
    return Reply("", 302, headers={"location": "/productpage", "set-cookie": "session=; Path=/; Max-Age=0"})


@service.route("GET", "/api/v1/products")
def products(_) -> Reply:
    return Reply([PRODUCT])


@service.route("GET", r"/api/v1/products/(\d+)")
def product(request, number: str) -> Reply:
    status, answer = call(details_base, f"/details/{number}", request)
    return Reply(answer or {"error": "Sorry, product details are currently unavailable for this book."}, status)


@service.route("GET", r"/api/v1/products/(\d+)/(reviews|ratings)")
def product_part(request, number: str, part: str) -> Reply:
    status, answer = call(reviews_base if part == "reviews" else ratings_base, f"/{part}/{number}", request)
    return Reply(answer or {"error": f"Sorry, product {part} are currently unavailable for this book."}, status)


service.serve(sys.argv[1], int(sys.argv[2]))
