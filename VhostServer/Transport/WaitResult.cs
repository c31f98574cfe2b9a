namespace Paravane.VhostServer.Transport;

/// <summary>Why a wait of the session thread ended.</summary>
internal enum WaitResult
{
    /// <summary>What was waited for is there.</summary>
    Ready,

    /// <summary>A worker or the device left a notice.</summary>
    Noticed,

    /// <summary>The deadline has passed.</summary>
    Elapsed,

    /// <summary>The peer has gone.</summary>
    HungUp,

    /// <summary>The server is asked to stop.</summary>
    Stopped,
}
