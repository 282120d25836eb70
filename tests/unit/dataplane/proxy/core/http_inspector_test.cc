#include "dataplane/proxy/http_inspector.h"

#include <gtest/gtest.h>

#include <string>

namespace millrace::proxy {
namespace {

using Status = HttpInspector::Status;

Status inspect(std::string_view text, std::size_t step = SIZE_MAX) {
  HttpInspector inspector;
  for (std::size_t at = 0; at < text.size(); at += std::min(step, text.size())) {
    const std::string_view part = text.substr(at, step);
    inspector.feed({reinterpret_cast<const std::uint8_t*>(part.data()), part.size()});
  }
  return inspector.status();
}

TEST(HttpInspector, TellsVersionsUnderEveryCut) {
  struct Case {
    std::string_view text;
    Status status;
  };
  for (const Case& c : {Case{"GET / HTTP/1.1\r\nhost: a\r\n", Status::kHttp11}, Case{"PUT /x HTTP/1.0\r\n", Status::kHttp10},
                        Case{"\r\n\r\nGET / HTTP/1.1\n", Status::kHttp11}, Case{"X-Y!z a:1 HTTP/1.1\r\n", Status::kHttp11},
                        Case{"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Status::kHttp2}, Case{"PRI * HTTP/1.1\r\n", Status::kHttp11}}) {
    for (std::size_t step = 1; step <= c.text.size(); ++step) EXPECT_EQ(inspect(c.text, step), c.status) << c.text;
  }
}

TEST(HttpInspector, WaitsForTheWholeLine) {
  constexpr std::string_view kLine = "GET / HTTP/1.1\r\n";
  constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
  for (std::size_t size = 0; size < kLine.size(); ++size) EXPECT_EQ(inspect(kLine.substr(0, size)), Status::kNeedMore);
  for (std::size_t size = 0; size < kPreface.size(); ++size) EXPECT_EQ(inspect(kPreface.substr(0, size)), Status::kNeedMore);
}

TEST(HttpInspector, WhatIsNotHttpIsToldAsEarlyAsPossible) {
  for (const std::string_view text : {"\x16", "G\x01", " ", "GET  ", "GET /\x7f", "GET / HTTX", "GET / HTTP/2", "GET / HTTP/1.2",
                                      "GET / HTTP/1.1x", "GET / HTTP/1.1\r\r", "GET /\r", "PRI * HTTP/2.0\r\nX"}) {
    EXPECT_EQ(inspect(text), Status::kNotHttp) << text;
    EXPECT_EQ(inspect(text.substr(0, text.size() - 1)), Status::kNeedMore) << text;
  }
}

TEST(HttpInspector, ALineWithoutEndIsNotHttp) {
  EXPECT_EQ(inspect("GET /" + std::string(HttpInspector::kMaxLineBytes, 'a'), 100), Status::kNotHttp);
  EXPECT_EQ(inspect(std::string(HttpInspector::kMaxLineBytes + 1, '\n')), Status::kNotHttp);
}

}  // namespace
}  // namespace millrace::proxy
