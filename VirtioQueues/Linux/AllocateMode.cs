namespace Paravane.VirtioQueues.Linux;

/// <summary>What <c>fallocate(2)</c> does with a range; the length of the file never changes.</summary>
public enum AllocateMode
{
    /// <summary><c>FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE</c>: gives the storage back; the range reads as zeroes.</summary>
    PunchHole = 3,

    /// <summary><c>FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE</c>: the range reads as zeroes and keeps its storage.</summary>
    ZeroRange = 0x11,
}
