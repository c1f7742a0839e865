// The values that each coordinate of a request can have: canonical paths, hosts, SPIFFE IDs and so
// on. Questions about policies are asked within these, so that no answer is an impossible request.
#pragma once

#include "authz/language/language.h"
#include "authz/model/field.h"
#include "authz/model/path_relaxations.h"

namespace countersign::authz::language {

// CanonicalValues are the texts of `language` of at most `bytes_max` bytes. The length stands
// beside the automaton: a shortest text (FindText with bytes_max) tells exactly whether one of at
// most that length exists, and no automaton has to count to 16,384.
struct CanonicalValues {
  Language language;
  size_t bytes_max;
};

// CanonicalValuesOf is what the proxy can hand to the engine as the value of `field`, where it is
// present: exactly the fixed points of CanonicalizePath and CanonicalizeHost, the SPIFFE IDs that
// SpiffeId::Parse takes, methods, server names in lower case without NUL, trimmed header values.
// Query and claim values can be any bytes. Fails with kInvalidArgument for peerIp and port, which
// are no texts.
StatusOr<CanonicalValues> CanonicalValuesOf(Field field, PathRelaxations relaxations = {});

// IdsUncounted are the SPIFFE IDs and those that a trust domain of more than 255 bytes keeps from
// being one. Without the count their automaton has some ten states and not some hundreds, which
// every pattern over ids would multiply. What holds for all of these holds for all IDs.
StatusOr<CanonicalValues> IdsUncounted();

}  // namespace countersign::authz::language
