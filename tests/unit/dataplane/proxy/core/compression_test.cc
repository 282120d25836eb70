// Compression and decompression of bodies, and what both say in the heads.
#include <brotli/decode.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>
#include <zstd.h>

#include "tests/unit/dataplane/proxy/core/filter_support.h"

namespace millrace::proxy::test {
namespace {

using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

std::string run_zlib(std::string_view in, int (*step)(z_stream*, int), z_stream& stream) {
  std::string out(in.size() + 2'000'000, '\0');  // more than any text here unpacks to
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(in.data()));
  stream.avail_in = static_cast<unsigned>(in.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<unsigned>(out.size());
  EXPECT_EQ(step(&stream, Z_FINISH), Z_STREAM_END);
  out.resize(stream.total_out);
  return out;
}

std::string gzip(std::string_view text) {
  z_stream stream{};
  EXPECT_EQ(deflateInit2(&stream, 6, Z_DEFLATED, 31, 8, 0), Z_OK);
  std::string out = run_zlib(text, deflate, stream);
  deflateEnd(&stream);
  return out;
}

std::string gunzip(std::string_view bytes) {
  z_stream stream{};
  EXPECT_EQ(inflateInit2(&stream, 31), Z_OK);
  std::string out = run_zlib(bytes, inflate, stream);
  inflateEnd(&stream);
  return out;
}

std::string unbrotli(std::string_view bytes) {
  std::string out(2'000'000, '\0');
  std::size_t size = out.size();
  EXPECT_EQ(BrotliDecoderDecompress(bytes.size(), reinterpret_cast<const std::uint8_t*>(bytes.data()), &size,
                                    reinterpret_cast<std::uint8_t*>(out.data())),
            BROTLI_DECODER_RESULT_SUCCESS);
  out.resize(size);
  return out;
}

std::string unzstd(std::string_view bytes) {
  std::string out(2'000'000, '\0');
  const std::size_t size = ZSTD_decompress(out.data(), out.size(), bytes.data(), bytes.size());
  EXPECT_EQ(ZSTD_isError(size), 0u) << ZSTD_getErrorName(size);
  out.resize(std::min(size, out.size()));
  return out;
}

/// The content of a body in chunks.
std::string unchunk(std::string_view body) {
  std::string out;
  while (true) {
    const std::size_t size = std::stoul(std::string(body.substr(0, body.find("\r\n"))), nullptr, 16);
    body.remove_prefix(body.find("\r\n") + 2);
    if (size == 0) return out;
    out += body.substr(0, size);
    body.remove_prefix(size + 2);
  }
}

/// Compressible, and different everywhere.
std::string text_of(std::size_t size) {
  std::string text;
  for (std::size_t i = 0; text.size() < size; ++i) text += "line " + std::to_string(i) + "\n";
  text.resize(size);
  return text;
}

config::Compressor compressor(config::CompressionLibrary library = config::GzipCompression{}) {
  config::Compressor filter;
  filter.library = library;
  filter.response.enabled = true;
  filter.request.content_types = filter.response.content_types = {"text/plain"};
  filter.cell = std::make_shared<report::CompressorCell>(0, "", 1);
  return filter;
}

config::Decompressor decompressor(config::DecompressionLibrary library = config::GzipDecompression{}) {
  config::Decompressor filter;
  filter.library = library;
  filter.cell = std::make_shared<report::DecompressorCell>(0, "", 1);
  return filter;
}

template <typename Config>
ProxyHarness::Change with(Config filter, std::optional<config::RouteFilterConfig> of_route = {}) {
  return [=](config::Listener& listener, config::Cluster&, config::Route& route) {
    add_filter(listener, "f", filter);
    if (of_route) add_route_config(route, "f", *of_route);
  };
}

const std::string kPlain = "content-type: text/plain; charset=utf-8\r\n";
constexpr std::string_view kAccept = "accept-encoding: gzip\r\n";

TEST(Compressor, ALargeResponseComesOutAsItWentIn) {
  const config::Compressor filter = compressor();
  ProxyHarness proxy(with(filter));
  const std::string text = text_of(700'000);
  proxy.origin().answer(ok(text, kPlain + "etag: \"strong\"\r\n"));
  const std::string answer = proxy.exchange(get("/", kAccept));
  EXPECT_THAT(answer.substr(0, 500),
              AllOf(HasSubstr("content-encoding: gzip\r\n"), HasSubstr("transfer-encoding: chunked\r\n"),
                    HasSubstr("vary: Accept-Encoding\r\n"), Not(HasSubstr("content-length")), Not(HasSubstr("etag"))));
  EXPECT_EQ(gunzip(unchunk(body_of(answer))), text);
  const auto& stats = filter.cell->per_worker[0];
  EXPECT_EQ(stats.response.compressed.value(), 1u);
  EXPECT_EQ(stats.response.total_uncompressed_bytes.value(), text.size());
  EXPECT_LT(stats.response.total_compressed_bytes.value(), text.size() / 2);
  EXPECT_EQ(stats.header_compressor_used.value(), 1u);
}

TEST(Compressor, WhatHasComeIsNotHeldBack) {
  ProxyHarness proxy(with(compressor()));
  proxy.origin().on_bytes([](OriginConnection& connection) {
    connection.clear_received();
    connection.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-type: text/plain\r\n\r\n5\r\nhello\r\n");
  });
  Client& client = proxy.connect();
  client.send(get("/", kAccept));
  proxy.run();
  const std::size_t before = client.received().size();
  EXPECT_GT(body_of(client.received()).size(), 20u) << "a client that waits for events sees this one";
  proxy.origin().connection().send("5\r\nworld\r\n0\r\n\r\n");
  proxy.run();
  EXPECT_GT(client.received().size(), before);
  EXPECT_EQ(gunzip(unchunk(body_of(client.received()))), "helloworld");
}

TEST(Compressor, LeavesAloneWhatIsNotToBeCompressed) {
  const config::Compressor filter = compressor();
  ProxyHarness proxy(with(filter));
  const std::string text = text_of(100);
  const auto exchange = [&](const std::string& fields, std::string_view accept) {
    proxy.origin().answer(ok(text, fields));
    return proxy.exchange(get("/", accept));
  };
  EXPECT_THAT(exchange(kPlain, ""), AllOf(EndsWith(text), HasSubstr("vary: Accept-Encoding\r\n"))) << "others may get it gzipped";
  EXPECT_THAT(exchange(kPlain, "accept-encoding: gzip;q=0,*\r\n"), EndsWith(text));
  EXPECT_THAT(exchange("content-type: image/png\r\n", kAccept), AllOf(EndsWith(text), Not(HasSubstr("vary"))));
  EXPECT_THAT(exchange(kPlain + "content-encoding: br\r\n", kAccept), EndsWith(text));
  EXPECT_THAT(exchange(kPlain + "cache-control: no-transform\r\n", kAccept), EndsWith(text));
  proxy.origin().answer(ok("short", kPlain));
  EXPECT_THAT(proxy.exchange(get("/", kAccept)), EndsWith("short"));
  const auto& stats = filter.cell->per_worker[0];
  EXPECT_EQ(stats.response.not_compressed.value(), 6u);
  EXPECT_EQ(stats.response.content_length_too_small.value(), 1u);
  EXPECT_EQ(stats.no_accept_header.value(), 1u);
  EXPECT_EQ(stats.header_not_valid.value(), 1u);
}

TEST(Compressor, EtagsSayWhetherBytesAreTheSame) {
  config::Compressor filter = compressor();
  ProxyHarness weak(with(filter));
  weak.origin().answer(ok(text_of(100), kPlain + "etag: W/\"weak\"\r\n"));
  EXPECT_THAT(weak.exchange(get("/", kAccept)), AllOf(HasSubstr("etag: W/\"weak\"\r\n"), HasSubstr("content-encoding: gzip")));
  filter.disable_on_etag = true;
  ProxyHarness strict(with(filter));
  strict.origin().answer(ok(text_of(100), kPlain + "etag: \"a\"\r\n"));
  EXPECT_THAT(strict.exchange(get("/", kAccept)), AllOf(HasSubstr("etag: \"a\"\r\n"), EndsWith(text_of(100))));
  EXPECT_EQ(filter.cell->per_worker[0].not_compressed_etag.value(), 1u);
}

TEST(Compressor, RequestsToo) {
  config::Compressor filter = compressor();
  filter.request.enabled = true;
  filter.remove_accept_encoding = true;
  ProxyHarness proxy(with(filter));
  std::string seen;
  proxy.origin().on_bytes([&](OriginConnection& connection) {
    seen += connection.take_received();
    if (seen.ends_with("\r\n0\r\n\r\n")) connection.send(ok("done"));
  });
  const std::string text = text_of(5'000);
  const std::string request =
      "PUT / HTTP/1.1\r\nhost: a\r\naccept-encoding: gzip\r\n" + kPlain + "content-length: 5000\r\n\r\n" + text;
  EXPECT_THAT(proxy.exchange(request), EndsWith("done"));
  EXPECT_THAT(seen.substr(0, 400), AllOf(HasSubstr("content-encoding: gzip\r\n"), Not(HasSubstr("content-length")),
                                         Not(HasSubstr("accept-encoding"))));
  EXPECT_EQ(gunzip(unchunk(body_of(seen))), text);
}

TEST(Compressor, ARouteSaysOtherwise) {
  config::Compressor filter = compressor();
  ProxyHarness off(
      with(filter, config::CompressorOverride{.disabled = true, .compress_responses = false, .remove_accept_encoding = {}}));
  off.origin().answer(ok(text_of(100), kPlain));
  EXPECT_THAT(off.exchange(get("/", kAccept)), EndsWith(text_of(100)));
  filter.response.enabled = false;
  ProxyHarness on(
      with(filter, config::CompressorOverride{.disabled = false, .compress_responses = true, .remove_accept_encoding = {}}));
  on.origin().answer(ok(text_of(100), kPlain));
  EXPECT_THAT(on.exchange(get("/", kAccept)), HasSubstr("content-encoding: gzip\r\n"));
}

TEST(Compressor, TakesItsMemoryFromThePool) {
  ProxyHarness proxy(with(compressor()));
  proxy.origin().on_bytes([](OriginConnection& connection) {
    connection.clear_received();
    connection.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-type: text/plain\r\n\r\n5\r\nhello\r\n");
  });
  Client& plain = proxy.connect();
  plain.send(get());
  proxy.run();
  const std::size_t before = proxy.proxy->counts().chunks;
  Client& client = proxy.connect();
  client.send(get("/", kAccept));
  proxy.run();
  EXPECT_LE(proxy.proxy->counts().chunks, before + 3) << "two small ones of the stream's, and a large one for zlib";
}

TEST(Compressor, WithoutMemoryTheResponseGoesOnAsItIs) {
  ProxyLimits limits = ProxyHarness::small_limits();
  limits.large_chunks = 0;
  ProxyHarness proxy(with(compressor()), limits);
  proxy.origin().answer(ok(text_of(100), kPlain));
  EXPECT_THAT(proxy.exchange(get("/", kAccept)), AllOf(EndsWith(text_of(100)), Not(HasSubstr("content-encoding"))));
}

TEST(Compressor, BrotliAndZstdToo) {
  const std::string text = text_of(700'000);
  const auto exchange = [&](config::CompressionLibrary library, const std::string& coding) {
    const config::Compressor filter = compressor(library);
    ProxyHarness proxy(with(filter));
    proxy.origin().answer(ok(text, kPlain));
    const std::string answer = proxy.exchange(get("/", "accept-encoding: " + coding + "\r\n"));
    EXPECT_THAT(answer.substr(0, 400), HasSubstr("content-encoding: " + coding + "\r\n"));
    EXPECT_EQ(filter.cell->per_worker[0].response.total_uncompressed_bytes.value(), text.size());
    EXPECT_EQ(proxy.proxy->counts().coding_bytes, 0u);
    return unchunk(body_of(answer));
  };
  EXPECT_EQ(unbrotli(exchange(config::BrotliCompression{}, "br")), text);
  EXPECT_EQ(unzstd(exchange(config::ZstdCompression{}, "zstd")), text);
}

TEST(Compressor, AClientThatGoesLeavesNoMemoryBehind) {
  for (const config::CompressionLibrary& library :
       {config::CompressionLibrary(config::BrotliCompression{}), config::CompressionLibrary(config::ZstdCompression{})}) {
    ProxyHarness proxy(with(compressor(library)));
    proxy.origin().on_bytes([](OriginConnection& connection) {
      connection.clear_received();
      connection.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-type: text/plain\r\n\r\n5\r\nhello\r\n");
    });
    Client& client = proxy.connect();
    client.send(get("/", "accept-encoding: br, zstd\r\n"));
    proxy.run();
    EXPECT_GT(proxy.proxy->counts().coding_bytes, 0u);
    client.reset();
    proxy.run();
    EXPECT_EQ(proxy.proxy->counts().coding_bytes, 0u);
  }
}

TEST(Compressor, SeveralChooseTogether) {
  config::Compressor gzip_filter = compressor();
  config::Compressor brotli_filter = compressor(config::BrotliCompression{});
  brotli_filter.response.content_types = {"text/plain", "text/html"};
  const auto coding_of = [&](const std::string& accept, const std::string& type = "text/plain") {
    ProxyHarness proxy([&](config::Listener& listener, config::Cluster&, config::Route&) {
      add_filter(listener, "gzip", gzip_filter);
      add_filter(listener, "brotli", brotli_filter);
    });
    proxy.origin().answer(ok(text_of(1000), "content-type: " + type + "\r\n"));
    const std::string answer = proxy.exchange(get("/", "accept-encoding: " + accept + "\r\n"));
    const std::size_t start = answer.find("content-encoding: ");
    if (start == std::string::npos) return std::string("none");
    const std::string value = answer.substr(start + 18, answer.find("\r\n", start) - start - 18);
    EXPECT_EQ(answer.find("content-encoding: ", start + 1), std::string::npos);
    return value;
  };
  EXPECT_EQ(coding_of("gzip, br"), "gzip");
  EXPECT_EQ(coding_of("br, gzip"), "br");
  EXPECT_EQ(coding_of("br;q=0.5, gzip;q=0.6"), "gzip");
  EXPECT_EQ(coding_of("*"), "gzip") << "the filter that requests pass first";
  EXPECT_EQ(coding_of("gzip;q=1, br;q=0.5", "text/html"), "br") << "gzip does not take this type";
  EXPECT_EQ(coding_of("gzip", "text/html"), "none");
  EXPECT_EQ(brotli_filter.cell->per_worker[0].header_compressor_overshadowed.value(), 2u);
  EXPECT_EQ(brotli_filter.cell->per_worker[0].header_compressor_used.value(), 2u);
  brotli_filter.choose_first = true;
  EXPECT_EQ(coding_of("gzip, br"), "br");
  EXPECT_EQ(coding_of("gzip, br;q=0.9"), "gzip");
}

TEST(Compressor, OneThatTheRouteDisablesDoesNotCount) {
  ProxyHarness proxy([&](config::Listener& listener, config::Cluster&, config::Route& route) {
    add_filter(listener, "gzip", compressor());
    add_filter(listener, "brotli", compressor(config::BrotliCompression{}));
    add_route_config(route, "gzip",
                     config::CompressorOverride{.disabled = true, .compress_responses = false, .remove_accept_encoding = {}});
  });
  proxy.origin().answer(ok(text_of(1000), kPlain));
  EXPECT_THAT(proxy.exchange(get("/", "accept-encoding: gzip, br\r\n")), HasSubstr("content-encoding: br\r\n"));
}

TEST(Decompressor, BrotliAndZstdToo) {
  const std::string text = text_of(300'000);
  const auto through = [&](config::CompressionLibrary packs, config::DecompressionLibrary unpacks, const std::string& coding) {
    config::Compressor packing = compressor(packs);
    packing.request.enabled = true;
    packing.response.enabled = false;
    ProxyHarness proxy([&](config::Listener& listener, config::Cluster&, config::Route&) {
      add_filter(listener, "packs", packing);
      add_filter(listener, "unpacks", decompressor(unpacks));
    });
    std::string seen;
    proxy.origin().on_bytes([&](OriginConnection& connection) {
      seen += connection.take_received();
      if (seen.ends_with("\r\n0\r\n\r\n")) connection.send(ok("done"));
    });
    const std::string request =
        "PUT / HTTP/1.1\r\nhost: a\r\n" + kPlain + "content-length: " + std::to_string(text.size()) + "\r\n\r\n" + text;
    EXPECT_THAT(proxy.exchange(request), EndsWith("done"));
    EXPECT_THAT(seen.substr(0, 400), AllOf(HasSubstr("accept-encoding: " + coding), Not(HasSubstr("content-encoding"))));
    EXPECT_EQ(unchunk(body_of(seen)), text);
  };
  through(config::BrotliCompression{}, config::BrotliDecompression{}, "br");
  through(config::ZstdCompression{}, config::ZstdDecompression{}, "zstd");
}

TEST(Decompressor, AResponseComesOutAsItWasBefore) {
  const config::Decompressor filter = decompressor();
  ProxyHarness proxy(with(filter));
  const std::string text = text_of(700'000);
  const std::string zipped = gzip(text);
  std::string seen;
  proxy.origin().on_bytes([&](OriginConnection& connection) {
    seen = connection.take_received();
    connection.send(ok(zipped, "content-encoding: gzip\r\n"));
  });
  const std::string answer = proxy.exchange(get());
  EXPECT_THAT(answer.substr(0, 400), AllOf(Not(HasSubstr("content-encoding")), HasSubstr("transfer-encoding: chunked\r\n")));
  EXPECT_EQ(unchunk(body_of(answer)), text);
  EXPECT_THAT(seen, HasSubstr("accept-encoding: gzip\r\n"));
  const auto& stats = filter.cell->per_worker[0].response;
  EXPECT_EQ(stats.total_compressed_bytes.value(), zipped.size());
  EXPECT_EQ(stats.total_uncompressed_bytes.value(), text.size());
}

std::string zipped_put(std::string_view body) {
  return "PUT / HTTP/1.1\r\nhost: a\r\ncontent-encoding: gzip\r\ncontent-length: " + std::to_string(body.size()) + "\r\n\r\n" +
         std::string(body);
}

TEST(Decompressor, RequestsTooByteByByte) {
  ProxyHarness proxy(with(decompressor()));
  std::string seen;
  proxy.origin().on_bytes([&](OriginConnection& connection) {
    seen += connection.take_received();
    if (seen.ends_with("\r\n0\r\n\r\n")) connection.send(ok("done"));
  });
  Client& client = proxy.connect();
  for (const char byte : zipped_put(gzip("hello") + gzip(" world"))) {  // two members are one content: RFC 1952 2.2
    client.send(std::string_view(&byte, 1));
    proxy.run();
  }
  EXPECT_THAT(client.received(), EndsWith("done"));
  EXPECT_EQ(unchunk(body_of(seen)), "hello world");
}

TEST(Decompressor, WhatIsNoGzipIsAnsweredWith400) {
  const std::string zipped = gzip(text_of(5'000));
  for (const std::string& body : {std::string("no gzip at all"), zipped.substr(0, zipped.size() - 9)}) {
    ProxyHarness proxy(with(decompressor()));
    EXPECT_THAT(proxy.exchange(zipped_put(body)), StartsWith("HTTP/1.1 400 "));
    EXPECT_THAT(proxy.log(), StartsWith("400 - request_body_not_decodable"));
  }
}

TEST(Decompressor, ABombCostsLittle) {
  const config::Decompressor filter = decompressor();
  ProxyHarness proxy(with(filter));
  const std::string bomb = gzip(std::string(50'000'000, '\0'));
  EXPECT_THAT(proxy.exchange(zipped_put(bomb)), StartsWith("HTTP/1.1 400 "));
  EXPECT_LT(filter.cell->per_worker[0].request.total_uncompressed_bytes.value(), 200'000u);
}

TEST(Decompressor, LeavesAloneWhatIsNotItsOwn) {
  const config::Decompressor filter = decompressor();
  ProxyHarness proxy(with(filter));
  proxy.origin().answer(ok("not gzip", "content-encoding: br\r\n"));
  EXPECT_THAT(proxy.exchange(get()), AllOf(EndsWith("not gzip"), HasSubstr("content-encoding: br\r\n")));
  proxy.origin().answer(ok("x", "content-encoding: gzip\r\ncache-control: no-transform\r\n"));
  EXPECT_THAT(proxy.exchange(get()), HasSubstr("content-encoding: gzip\r\n"));
  EXPECT_EQ(filter.cell->per_worker[0].response.not_decompressed.value(), 2u);
}

// The second filter holds the request when the first one has asked for its body already.
TEST(Decompressor, ABodyThatCameDuringADelayIsUnpackedOnce) {
  config::Fault fault;
  fault.delay = config::Fault::Delay{{.percentage = kAlways}, Duration::seconds(1)};
  ProxyHarness proxy([&](config::Listener& listener, config::Cluster&, config::Route&) {
    add_filter(listener, "decompressor", decompressor());
    add_filter(listener, "fault", fault);
  });
  std::string seen;
  proxy.origin().on_bytes([&](OriginConnection& connection) {
    seen = connection.received();
    if (seen.ends_with("\r\n0\r\n\r\n")) connection.send(ok("fine"));
  });
  const std::string request = zipped_put(gzip("hello, once"));
  Client& client = proxy.connect();
  client.send(std::string_view(request).substr(0, request.size() - 20));
  proxy.run();
  client.send(std::string_view(request).substr(request.size() - 20));
  proxy.run();
  EXPECT_EQ(seen, "");
  proxy.advance(Duration::milliseconds(1100));
  EXPECT_EQ(unchunk(body_of(seen)), "hello, once");
  EXPECT_THAT(client.received(), EndsWith("fine"));
}

// The last of it lies behind the first filter when there is no room any more: what is taken has to make room in there.
TEST(Compressor, WhatLiesBetweenTwoFiltersComesOutToTheLastByte) {
  ProxyHarness proxy([](config::Listener& listener, config::Cluster& cluster, config::Route&) {
    cluster.buffer_limit_bytes = 4096;
    add_filter(listener, "compressor", compressor());
    add_filter(listener, "decompressor", decompressor());
  });
  const std::string text = text_of(200'000);
  const std::string zipped = gzip(text);
  proxy.origin().answer(ok(zipped, "content-type: text/plain\r\ncontent-encoding: gzip\r\n"));
  const std::string answer = proxy.exchange(get("/", kAccept));
  ASSERT_THAT(answer, EndsWith("\r\n0\r\n\r\n"));
  EXPECT_EQ(gunzip(unchunk(body_of(answer))), text);
}

}  // namespace
}  // namespace millrace::proxy::test
