//! The node agent: answers CNI calls, plugs interfaces, reports them.
