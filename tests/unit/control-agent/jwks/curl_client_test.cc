// GETs of a real server on the loopback, in plain text and over TLS.
#include "control-agent/jwks/curl_client.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "tests/support/test_certificates.h"

namespace millrace::agent {
namespace {

using ::millrace::test::Authority;
using ::millrace::test::Issued;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

/// Answers one connection with `response`, or with silence until the client goes.
class Server {
 public:
  explicit Server(std::string response, const Issued* certificate = nullptr) : response_(std::move(response)) {
    if (certificate != nullptr) context_ = make_context(*certificate);
    listener_ = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    EXPECT_EQ(bind(listener_, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(listen(listener_, 1), 0);
    getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { serve(); });
  }
  ~Server() {
    join();
    SSL_CTX_free(context_);
  }

  [[nodiscard]] SocketAddress address() const { return {.ip = *IpAddress::parse("127.0.0.1"), .port = port_}; }
  /// What was asked, when it is over.
  const std::string& request() {
    join();
    return request_;
  }
  const std::string& server_name() {
    join();
    return server_name_;
  }

 private:
  static SSL_CTX* make_context(const Issued& issued) {
    SSL_CTX* context = SSL_CTX_new(TLS_server_method());
    BIO* in = BIO_new_mem_buf(issued.certificate.data(), static_cast<int>(issued.certificate.size()));
    X509* leaf = PEM_read_bio_X509(in, nullptr, nullptr, nullptr);
    BIO_free(in);
    in = BIO_new_mem_buf(issued.key.data(), static_cast<int>(issued.key.size()));
    EVP_PKEY* key = PEM_read_bio_PrivateKey(in, nullptr, nullptr, nullptr);
    BIO_free(in);
    EXPECT_EQ(SSL_CTX_use_cert_and_key(context, leaf, key, nullptr, 1), 1);
    X509_free(leaf);
    EVP_PKEY_free(key);
    return context;
  }

  void join() {
    if (!thread_.joinable()) return;
    shutdown(listener_, SHUT_RDWR);  // nobody comes any more
    thread_.join();
    close(listener_);
  }

  void serve() {
    const int connection = accept(listener_, nullptr, nullptr);
    if (connection < 0) return;
    SSL* ssl = nullptr;
    if (context_ != nullptr) {
      ssl = SSL_new(context_);
      SSL_set_fd(ssl, connection);
      if (SSL_accept(ssl) == 1) {
        const char* name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
        server_name_ = name == nullptr ? "" : name;
        talk([&](char* to, int size) { return SSL_read(ssl, to, size); },
             [&](const char* from, int size) { return SSL_write(ssl, from, size); });
        SSL_shutdown(ssl);
      }
      SSL_free(ssl);
    } else {
      talk([&](char* to, int size) { return static_cast<int>(read(connection, to, static_cast<std::size_t>(size))); },
           [&](const char* from, int size) {
             return static_cast<int>(send(connection, from, static_cast<std::size_t>(size), MSG_NOSIGNAL));
           });
    }
    close(connection);
  }

  template <typename Read, typename Write>
  void talk(Read&& read_some, Write&& write_some) {
    char bytes[4096];
    while (!request_.ends_with("\r\n\r\n")) {
      const int got = read_some(bytes, sizeof bytes);
      if (got <= 0) return;
      request_.append(bytes, static_cast<std::size_t>(got));
    }
    for (std::size_t sent = 0; sent < response_.size();) {
      const int size = static_cast<int>(std::min<std::size_t>(response_.size() - sent, 65'536));
      const int done = write_some(response_.data() + sent, size);
      if (done <= 0) return;
      sent += static_cast<std::size_t>(done);
    }
    if (response_.empty()) (void)read_some(bytes, sizeof bytes);
  }

  const std::string response_;
  SSL_CTX* context_ = nullptr;
  int listener_ = -1;
  std::uint16_t port_ = 0;
  std::string request_;
  std::string server_name_;
  std::thread thread_;
};

std::string response(const std::string& body, const std::string& status = "200 OK", const std::string& fields = "") {
  return "HTTP/1.1 " + status + "\r\ncontent-length: " + std::to_string(body.size()) + "\r\n" + fields + "\r\n" + body;
}

HttpGet get(const Server& server) {
  return {.address = server.address(),
          .tls = nullptr,
          .server_name = {},
          .expected_name = {},
          .authority = "issuer.test:1",
          .path = "/a/../keys?x=1",
          .connect_timeout = Duration::seconds(5),
          .timeout = Duration::seconds(5)};
}

HttpAnswer ask(const HttpGet& request) {
  CurlClient client;
  std::optional<HttpAnswer> answer;
  client.get(request, [&](HttpAnswer got) { answer = std::move(got); });
  for (int i = 0; i < 1000 && !answer; ++i) client.wait(Duration::milliseconds(100));
  EXPECT_TRUE(answer);
  return answer.value_or(HttpAnswer{});
}

tls::ContextConfig client_config() {
  tls::ContextConfig config;
  config.role = tls::Role::kClient;
  return config;
}

HttpGet get_over_tls(const Server& server, const tls::ContextConfig& config) {
  HttpGet request = get(server);
  auto context = tls::Context::make(config);
  EXPECT_TRUE(context) << context.error().text;
  request.tls = *context;
  request.server_name = config.server_name;
  return request;
}

TEST(CurlClient, AsksForThePathAndNamesTheHost) {
  Server server(response("keys"));
  const HttpAnswer answer = ask(get(server));
  EXPECT_EQ(answer.status, 200) << answer.error;
  EXPECT_EQ(answer.body, "keys");
  EXPECT_THAT(server.request(), AllOf(StartsWith("GET /a/../keys?x=1 HTTP/1.1\r\n"), HasSubstr("\r\nHost: issuer.test:1\r\n"),
                                      Not(HasSubstr("127.0.0.1"))));
}

TEST(CurlClient, OtherStatusesAreAnswers) {
  Server server(response("no", "503 Service Unavailable"));
  EXPECT_EQ(ask(get(server)).status, 503);
}

TEST(CurlClient, ARedirectIsNotFollowed) {
  Server server(response("", "302 Found", "location: http://127.0.0.1:1/\r\n"));
  EXPECT_EQ(ask(get(server)).status, 302);
}

TEST(CurlClient, ProxiesOfTheEnvironmentAreNotAsked) {
  setenv("http_proxy", "http://127.0.0.1:1", 1);
  Server server(response("keys"));
  EXPECT_EQ(ask(get(server)).status, 200);
  unsetenv("http_proxy");
}

TEST(CurlClient, WhoIsNotThereIsAnError) {
  HttpGet request;
  {
    Server gone(response("keys"));
    request = get(gone);
  }
  const HttpAnswer answer = ask(request);
  EXPECT_EQ(answer.status, 0);
  EXPECT_THAT(answer.error, HasSubstr("127.0.0.1"));
}

TEST(CurlClient, SilenceEndsWithTheTimeout) {
  Server server("");
  HttpGet request = get(server);
  request.timeout = Duration::milliseconds(150);
  const auto start = std::chrono::steady_clock::now();
  EXPECT_THAT(ask(request).error, HasSubstr("timed out"));
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(3));
}

TEST(CurlClient, ABodyThatNeverEndsIsAnError) {
  Server server("HTTP/1.1 200 OK\r\n\r\n" + std::string(kMaxHttpBodyBytes + 1, 'x'));
  EXPECT_THAT(ask(get(server)).error, HasSubstr("more than 1048576 bytes"));
}

TEST(CurlClient, TheLargestBodyIsTaken) {
  Server server(response(std::string(kMaxHttpBodyBytes, 'x')));
  EXPECT_EQ(ask(get(server)).body.size(), kMaxHttpBodyBytes);
}

TEST(CurlClient, FieldsThatNeverEndAreAnError) {
  std::string fields;
  for (int i = 0; i < 100; ++i) fields += "x-" + std::to_string(i) + ": " + std::string(1000, 'x') + "\r\n";
  Server server(response("keys", "200 OK", fields));
  EXPECT_THAT(ask(get(server)).error, HasSubstr("more than 65536 bytes"));
}

TEST(CurlClient, SeveralAreAskedAtOnce) {
  Server silent("");
  Server quick(response("keys"));
  CurlClient client;
  std::string got;
  client.get(get(silent), [&](HttpAnswer) { got += "silent"; });
  client.get(get(quick), [&](HttpAnswer answer) { got += answer.body; });
  for (int i = 0; i < 1000 && got.empty(); ++i) client.wait(Duration::milliseconds(100));
  EXPECT_EQ(got, "keys");
}

TEST(CurlClient, IsWoken) {
  CurlClient client;
  client.wake();
  const auto start = std::chrono::steady_clock::now();
  client.wait(Duration::seconds(30));
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(10));
}

TEST(CurlClient, TheContextsAuthoritiesAreBelieved) {
  const Authority authority("root");
  const Issued issued = authority.issue({.names = {"DNS:issuer.test"}});
  tls::ContextConfig config = client_config();
  config.validation.emplace().trusted_ca = authority.certificate();
  config.server_name = "keys.test";
  Server server(response("keys"), &issued);
  const HttpAnswer answer = ask(get_over_tls(server, config));
  EXPECT_EQ(answer.body, "keys") << answer.error;
  EXPECT_EQ(server.server_name(), "keys.test");
  EXPECT_THAT(server.request(), HasSubstr("\r\nHost: issuer.test:1\r\n"));
}

TEST(CurlClient, WithoutAServersNameNoneIsSent) {
  const Authority authority("root");
  const Issued issued = authority.issue();
  Server server(response("keys"), &issued);
  EXPECT_EQ(ask(get_over_tls(server, client_config())).body, "keys") << "without a trusted_ca everybody is believed";
  EXPECT_THAT(server.server_name(), IsEmpty());
}

TEST(CurlClient, OfAnotherAuthorityNothingIsTaken) {
  const Authority authority("root");
  const Authority other("other");
  const Issued issued = other.issue();
  tls::ContextConfig config = client_config();
  config.validation.emplace().trusted_ca = authority.certificate();
  Server server(response("keys"), &issued);
  const HttpAnswer answer = ask(get_over_tls(server, config));
  EXPECT_EQ(answer.status, 0);
  EXPECT_THAT(answer.error, HasSubstr("is not trusted"));
  EXPECT_THAT(server.request(), IsEmpty());
}

TEST(CurlClient, AnExpiredCertificateIsRefused) {
  const Authority authority("root");
  const Issued issued = authority.issue({.not_before = -7200, .not_after = -3600});
  tls::ContextConfig config = client_config();
  config.validation.emplace().trusted_ca = authority.certificate();
  Server server(response("keys"), &issued);
  EXPECT_THAT(ask(get_over_tls(server, config)).error, HasSubstr("expired"));
}

TEST(CurlClient, TheCertificateHasTheNameThatIsExpected) {
  const Authority authority("root");
  const Issued issued = authority.issue({.names = {"DNS:issuer.test"}});
  tls::ContextConfig config = client_config();
  config.validation.emplace().trusted_ca = authority.certificate();
  for (const auto& [name, good] : {std::pair("issuer.test", true), std::pair("other.test", false)}) {
    Server server(response("keys"), &issued);
    HttpGet request = get_over_tls(server, config);
    request.expected_name = name;
    const HttpAnswer answer = ask(request);
    EXPECT_EQ(answer.status, good ? 200 : 0) << answer.error;
    EXPECT_THAT(answer.error, good ? HasSubstr("") : HasSubstr("has the names issuer.test"));
  }
}

TEST(CurlClient, TheContextsVersionsCount) {
  const Authority authority("root");
  const Issued issued = authority.issue();
  tls::ContextConfig config = client_config();
  config.least_version = config.most_version = tls::Version::kTls12;
  Server server(response("keys"), &issued);
  EXPECT_EQ(ask(get_over_tls(server, config)).body, "keys");
}

}  // namespace
}  // namespace millrace::agent
