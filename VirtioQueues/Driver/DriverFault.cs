namespace Paravane.VirtioQueues.Driver;

/// <summary>How a device broke the rules of a ring. Latched: nothing more is collected from the ring then.</summary>
public enum DriverFault : byte
{
    /// <summary>All is well.</summary>
    None,

    /// <summary>The used index moved past the chains that were offered, or back.</summary>
    UsedIndexOutOfRange,

    /// <summary>A used id is not one of this ring.</summary>
    UsedIdOutOfRange,

    /// <summary>A used id names a chain that the device does not hold.</summary>
    UsedIdNotInFlight,

    /// <summary>More bytes reported than the writable part of the chain has.</summary>
    UsedLengthTooLong,
}
