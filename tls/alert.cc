#include "tls/alert.h"

namespace millrace::tls {

std::string_view to_text(Alert alert) {
  switch (alert) {
#define MR_TLS_ALERT(name, number, text) \
  case Alert::name: return text;
#include "tls/alert.def"
#undef MR_TLS_ALERT
  }
  return "unknown";
}

}  // namespace millrace::tls
