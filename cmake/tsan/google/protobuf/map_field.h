// For builds under ThreadSanitizer only, found before the real header: with the sanitizer
// Protobuf's map fields have members more, which the generated code and Debian's library are built
// without; a message with a map would have two shapes in one program.
#pragma push_macro("__SANITIZE_THREAD__")
#undef __SANITIZE_THREAD__
#include_next <google/protobuf/map_field.h>
#pragma pop_macro("__SANITIZE_THREAD__")
