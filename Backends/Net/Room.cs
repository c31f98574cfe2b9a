namespace Paravane.Backends.Net;

/// <summary>Whether a receive queue has buffers for a frame.</summary>
internal enum Room : byte
{
    /// <summary>It has.</summary>
    Ready,

    /// <summary>Not yet.</summary>
    Wait,

    /// <summary>Not with the buffers that this driver makes.</summary>
    Never,
}
