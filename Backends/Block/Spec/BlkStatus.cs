namespace Paravane.Backends.Block.Spec;

/// <summary>Last byte of the writable part of a request, <c>VIRTIO_BLK_S_*</c> (virtio 1.2 §5.2.6).</summary>
internal enum BlkStatus : byte
{
    /// <summary>Done.</summary>
    Ok = 0,

    /// <summary>The request or the medium is bad.</summary>
    IoError = 1,

    /// <summary>This device does not do that.</summary>
    Unsupported = 2,

    /// <summary>Not a wire value: the store answers later.</summary>
    Pending = 0xff,
}
