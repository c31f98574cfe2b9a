namespace Paravane.VhostServer.Session;

/// <summary>How a request is refused (vhost-user: «Reply payload types»).</summary>
internal enum RefusalForm
{
    /// <summary>By a non-zero acknowledgement when one was asked for, else by closing.</summary>
    Acknowledgement,

    /// <summary>As above, but the number has to look impossible, since a peer may take it for the answer.</summary>
    ImpossibleNumber,

    /// <summary>The reply is a u64 in any case, and non-zero means failure.</summary>
    Number,

    /// <summary>The reply is empty in any case.</summary>
    Empty,

    /// <summary>The reply is an inflight area of size 0 in any case.</summary>
    InflightArea,

    /// <summary>The reply has no form that says failure, so the connection is closed.</summary>
    Close,
}
