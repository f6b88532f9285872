//! What listeners, pools and health monitors can be. Which of it a provider can do stands in `docs/octavia.md`.

use crate::value::open_enum;

open_enum! {
    /// What a listener or a pool speaks.
    Protocol {
        /// TCP.
        Tcp = "TCP",
        /// UDP. Of listeners and pools.
        Udp = "UDP",
        /// SCTP. Since API 2.23.
        Sctp = "SCTP",
        /// HTTP, looked into by the load balancer.
        Http = "HTTP",
        /// TLS, passed through.
        Https = "HTTPS",
        /// TLS that ends at the load balancer. Only of listeners.
        TerminatedHttps = "TERMINATED_HTTPS",
        /// TCP with the client's address in front (PROXY protocol, version 1). Only of pools.
        Proxy = "PROXY",
        /// As `Proxy`, version 2. Since API 2.22.
        ProxyV2 = "PROXYV2",
        /// Metrics of the load balancer. Only of listeners, since API 2.25.
        Prometheus = "PROMETHEUS",
    }
}

open_enum! {
    /// How a pool chooses a member for a connection.
    Algorithm {
        /// One after the other, by weight.
        RoundRobin = "ROUND_ROBIN",
        /// The one with the fewest connections.
        LeastConnections = "LEAST_CONNECTIONS",
        /// By the client's address.
        SourceIp = "SOURCE_IP",
        /// By the client's address and port. Since API 2.13.
        SourceIpPort = "SOURCE_IP_PORT",
    }
}

open_enum! {
    /// How a health monitor tries a member.
    HealthMonitorType {
        /// A TCP connection.
        Tcp = "TCP",
        /// A UDP packet that isn't answered by "port unreachable".
        UdpConnect = "UDP-CONNECT",
        /// An SCTP association. Since API 2.23.
        Sctp = "SCTP",
        /// An HTTP request.
        Http = "HTTP",
        /// An HTTP request over TLS.
        Https = "HTTPS",
        /// An ICMP echo. Operators may have forbidden it.
        Ping = "PING",
        /// A TLS handshake.
        TlsHello = "TLS-HELLO",
    }
}

open_enum! {
    /// By what a pool recognises a client that shall come to the same member again.
    SessionPersistenceType {
        /// Its address.
        SourceIp = "SOURCE_IP",
        /// A cookie that the load balancer makes. Only of HTTP.
        HttpCookie = "HTTP_COOKIE",
        /// A cookie that the member makes. Only of HTTP.
        AppCookie = "APP_COOKIE",
    }
}
