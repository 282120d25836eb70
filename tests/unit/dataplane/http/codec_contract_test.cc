// The contract of codecs, passed by HTTP/1 and by a toy that multiplexes.
#include "tests/unit/dataplane/http/codec_contract.h"

#include "dataplane/http/http1/client_codec.h"
#include "dataplane/http/http1/server_codec.h"
#include "tests/support/toy_codec.h"

namespace millrace::http::testing {

struct Http1 {
  using Server = http1::ServerCodec;
  using Client = http1::ClientCodec;
  static constexpr bool kMultiplexed = false;
  static http1::Settings settings(std::size_t window, std::size_t limit) {
    http1::Settings settings;
    settings.receive_window_bytes = window;
    settings.output_limit_bytes = limit;
    settings.enable_trailers = true;
    return settings;
  }
};

struct Toy {
  using Server = ToyServerCodec;
  using Client = ToyClientCodec;
  static constexpr bool kMultiplexed = true;
  static ToySettings settings(std::size_t window, std::size_t limit) { return {window, limit}; }
};

INSTANTIATE_TYPED_TEST_SUITE_P(Http1, CodecContract, Http1);
INSTANTIATE_TYPED_TEST_SUITE_P(ToyMultiplexed, CodecContract, Toy);

}  // namespace millrace::http::testing
