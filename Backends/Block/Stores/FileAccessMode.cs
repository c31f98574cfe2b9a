namespace Paravane.Backends.Block.Stores;

/// <summary>How an image is reached.</summary>
/// <param name="Direct">Past the page cache of the host (<c>O_DIRECT</c>).</param>
/// <param name="Pin">Guest memory is registered with io_uring.</param>
/// <param name="Queue">False does without io_uring from the beginning.</param>
internal readonly record struct FileAccessMode(bool Direct, bool Pin = false, bool Queue = true);
