//! Who is who: the certificate authority, identities, and the TLS configurations that trust nobody else.
