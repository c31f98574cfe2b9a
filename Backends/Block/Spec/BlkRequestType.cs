namespace Paravane.Backends.Block.Spec;

/// <summary>Request types served here, <c>VIRTIO_BLK_T_*</c> (virtio 1.2 §5.2.6). Any other value is legal input and answered UNSUPP.</summary>
internal enum BlkRequestType : uint
{
    /// <summary>Read.</summary>
    In = 0,

    /// <summary>Write.</summary>
    Out = 1,

    /// <summary>Make completed writes durable.</summary>
    Flush = 4,

    /// <summary>Read the serial text, 20 bytes.</summary>
    GetId = 8,

    /// <summary>These ranges hold nothing of value.</summary>
    Discard = 11,

    /// <summary>These ranges shall read as zeroes.</summary>
    WriteZeroes = 13,
}
